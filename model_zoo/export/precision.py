"""Precision of an exported network: it lives in the file, because strongly typed runtimes take the file at its word."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor, nn

from model_zoo.contract.card import Precision
from model_zoo.detector import Detector
from model_zoo.export.errors import ExportError


class HalfNetwork(nn.Module):
    """A network computed in float16, float32 at its borders: pixels in, raw maps out.

    Decoding stays outside: half precision has steps of 0.5 beyond 512, boxes need better.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = copy.deepcopy(detector).half()

    def forward(self, x: Tensor) -> Sequence[Tensor]:
        """Return raw maps, float32."""
        return [m.float() for m in self.detector(x.half())]


def in_precision(detector: Detector, precision: Precision) -> nn.Module:
    """Return the network (B, 3, H, W) -> raw maps to be traced for `precision`; ExportError where it is not offered.

    For int8 it is traced in float32, and quantized in the graph.
    """
    if precision in ("fp32", "int8"):
        return detector
    if precision == "fp16":
        return HalfNetwork(detector)
    raise ExportError(f"precision: expected fp32, fp16 or int8; got {precision}")
