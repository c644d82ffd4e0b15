"""Precision of an exported network. It is part of the graph, because strongly typed runtimes do not change it."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor, nn

from model_zoo.contract.card import Precision
from model_zoo.detector import Detector
from model_zoo.export.errors import ExportError


class HalfNetwork(nn.Module):
    """A network in float16 with float32 inputs and outputs: pixels in, raw maps out.

    Decoding stays in float32, because float16 has steps of 0.5 above 512 and boxes need a higher resolution.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = copy.deepcopy(detector).half()

    def forward(self, x: Tensor) -> Sequence[Tensor]:
        """Return raw maps, float32."""
        return [m.float() for m in self.detector(x.half())]


def in_precision(detector: Detector, precision: Precision) -> nn.Module:
    """Return the network (B, 3, H, W) -> raw maps in the precision to trace.

    For int8 it is float32, because quantization changes the traced graph.

    Raises:
        ExportError: The precision is not supported.
    """
    if precision in ("fp32", "int8"):
        return detector
    if precision == "fp16":
        return HalfNetwork(detector)
    raise ExportError(f"precision: expected fp32, fp16 or int8; got {precision}")
