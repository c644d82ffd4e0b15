"""Choose the maps of a graph that are stored in int8, with their scales.

Maps between two int8 convolutions stay in int8 through concatenation, pooling, resizing, addition and SiLU. So no
runtime has to convert them to float32. Required maps are the inputs of convolutions, and the maps that they are made
of. Their zero point is 0, as TensorRT requires. Optional maps lie within a convolution and its activation. ONNX Runtime
needs them to compute both in int8. Other runtimes compute the activation with the convolution, and do without them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import onnx

MAX_STEP = 127  # of a map
MIN_SCALE = np.float32(1e-30)  # positive, and so is the product of two scales
SILU_LOW = -8.0  # SiLU maps lower values to 0, within 0.003
JOINS = {"Concat": None, "MaxPool": 1, "Resize": 1}  # operators that keep values, and how many inputs are maps


class LayerPeaks(NamedTuple):
    """Largest magnitudes of a layer's maps, averaged over the calibration images."""

    input: float
    """Of the input."""
    output: float
    """Of the output."""
    high: float
    """Largest value of the output."""


Peaks = Mapping[str, LayerPeaks]  # by layer


class Int8Map(NamedTuple):
    """Form of a map in int8."""

    scale: np.float32
    """Value of one step."""
    zero_point: int = 0
    """Step that stands for 0."""
    optional: bool = False
    """Whether only ONNX Runtime needs the map in int8."""


def layer_of(node: onnx.NodeProto) -> str:
    """Return a convolution's module name in the detector, such as `backbone.stem.conv`, or "" for other nodes."""
    return node.input[1].removeprefix("network.").removesuffix(".weight") if node.op_type == "Conv" else ""


def map_scale(peak: float) -> np.float32:
    """Return the scale of a map with magnitudes up to `peak`, which may be 0."""
    return np.float32(max(np.float32(peak) / np.float32(MAX_STEP), MIN_SCALE))


def int8_maps(graph: onnx.GraphProto, layers: Collection[str], peaks: Peaks) -> dict[str, Int8Map]:
    """Return the maps to store in int8, by name."""
    return _MapChooser(graph, layers, peaks).choose()


class _MapChooser:
    """Finds int8 maps, from the inputs of int8 convolutions backward."""

    def __init__(self, graph: onnx.GraphProto, layers: Collection[str], peaks: Peaks) -> None:
        self.producers = {name: node for node in graph.node for name in node.output}
        self.convs = {node.output[0]: peaks[layer_of(node)] for node in graph.node if layer_of(node) in layers}
        self.inputs = {self.producers[name].input[0]: peak.input for name, peak in self.convs.items()}
        self.silus = {node.output[0]: conv for node in graph.node if (conv := self._silu_input(node))}

    def choose(self) -> dict[str, Int8Map]:
        required = {name: Int8Map(map_scale(peak)) for name, peak in self._required().items()}
        return required | {name: own for name, own in self._optional(required).items() if name not in required}

    def _required(self) -> dict[str, float]:
        """Return the peaks of the inputs of convolutions, and of the maps that they are made of."""
        peaks, waiting = dict(self.inputs), list(self.inputs)
        while waiting:
            name = waiting.pop()
            for source, peak in self._sources(name, peaks[name]).items():
                if source not in self.inputs and peak > peaks.get(source, -1.0):
                    peaks[source] = peak
                    waiting.append(source)
        return peaks

    def _sources(self, name: str, peak: float) -> dict[str, float]:
        """Return the peaks of the maps from which an operator makes this map: equal ones, or summands."""
        node = self.producers.get(name, onnx.NodeProto())
        if node.op_type in JOINS:
            return {source: peak for source in node.input[: JOINS[node.op_type]] if source in self.producers}
        summands = node.input if node.op_type == "Add" else ()
        return {source: own for source in summands if (own := self._activation_peak(source)) is not None}

    def _activation_peak(self, name: str) -> float | None:
        """Return the peak of a convolution's output after its activation, or None for other maps."""
        if name in self.silus:
            return _silu_peak(self.convs[self.silus[name]].high)
        node = self.producers.get(name, onnx.NodeProto())
        conv = node.input[0] if node.op_type == "LeakyRelu" else name
        return self.convs[conv].output if conv in self.convs else None

    def _optional(self, required: Collection[str]) -> dict[str, Int8Map]:
        maps = {}
        for name, peak in self.convs.items():
            is_silu = name in self.silus.values()
            maps[name] = _before_silu(peak.high) if is_silu else Int8Map(map_scale(peak.output), optional=True)
        for name, conv in self.silus.items():
            if name in required:
                sigmoid = next(source for source in self.producers[name].input if source != conv)
                maps[sigmoid] = Int8Map(np.float32(1 / 255), -128, optional=True)
        return maps

    def _silu_input(self, node: onnx.NodeProto) -> str | None:
        """Return the convolution's output x for a node x * sigmoid(x), or None for other nodes."""
        for x, gate in (node.input, node.input[::-1]) if node.op_type == "Mul" else ():
            sigmoid = self.producers.get(gate, onnx.NodeProto())
            if x in self.convs and sigmoid.op_type == "Sigmoid" and sigmoid.input[0] == x:
                return str(x)
        return None


def _silu_peak(high: float) -> float:
    """Return the largest magnitude of SiLU up to `high`. Its lowest value is -0.28."""
    return max(high / (1 + math.exp(-high)), 0.28) if high > 0 else 0.28


def _before_silu(high: float) -> Int8Map:
    """Use all steps for the values that SiLU does not map to 0."""
    scale = np.float32((max(high, 0.0) - SILU_LOW) / 255)
    return Int8Map(scale, round(-SILU_LOW / float(scale)) - 128, optional=True)
