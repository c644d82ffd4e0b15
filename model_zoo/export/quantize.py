"""Quantize convolutions to int8, as QuantizeLinear / DequantizeLinear pairs around them.

    x ─ Q ─ DQ ─┐
    weight ─ DQ ─ Conv ─ Q ─ DQ ─ activation

Quantization is symmetric, with zero points of 0, as TensorRT requires. Weights have a scale per output channel, feature
maps one per tensor. The scale of a map is its largest magnitude in an image, averaged over the calibration images, so
that no single image determines it. Biases stay float32: TensorRT requires it, and ONNX Runtime rounds them itself.

Weights are limited to steps of -64 to 64. On x86 CPUs without VNNI, kernels add pairs of products in 16 bits. With maps
up to 255 and weights up to 64 the sums fit; with larger weights they saturate. So all CPUs compute the same integers.

Convolutions that no other convolution follows stay float32. They output the predictions, whose box and scores would
share 256 steps. `precision.HalfNetwork` keeps everything after the prediction layers in float32.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.helper import make_node

from model_zoo.runtime.int8 import ZERO_POINT

MAX_STEP = 127  # of a map
MAX_WEIGHT_STEP = 64
MIN_SCALE = np.float32(1e-30)  # positive, and so is the product of two scales
Floats = NDArray[np.float32]


class LayerPeaks(NamedTuple):
    """Largest magnitudes of a layer's maps, averaged over the calibration images."""

    input: float
    """Of the input."""
    output: float
    """Of the output."""


Peaks = Mapping[str, LayerPeaks]  # by layer


def layer_of(node: onnx.NodeProto) -> str:
    """Return a convolution's module name in the detector, such as `backbone.stem.conv`, or "" for other nodes."""
    return node.input[1].removeprefix("network.").removesuffix(".weight") if node.op_type == "Conv" else ""


def layers_to_quantize(model: onnx.ModelProto) -> list[str]:
    """Return the convolutions with constant weights that another convolution follows, directly or later."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs: set[str] = set()  # of convolutions, directly or through other nodes
    layers = []
    for node in reversed(model.graph.node):
        is_followed = any(name in inputs for name in node.output)
        if layer_of(node) and is_followed and node.input[1] in constants:
            layers.append(layer_of(node))
        if layer_of(node) or is_followed:
            inputs.update(node.input)
    return layers[::-1]


def quantize(model: onnx.ModelProto, layers: Collection[str], peaks: Peaks) -> onnx.ModelProto:
    """Return the model with the given layers in int8."""
    result = _copy(model)
    writer = _Writer(result.graph, peaks)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.extend(writer.quantized(node) if layer_of(node) in layers else [node])
    _replace_nodes(result.graph, nodes)
    onnx.checker.check_model(result, full_check=True)
    return result


def map_scale(peak: float) -> np.float32:
    """Return the scale of a map with magnitudes up to `peak`, which may be 0."""
    return np.float32(max(np.float32(peak) / np.float32(MAX_STEP), MIN_SCALE))


def quantize_weight(
    weight: Floats, bias: Floats | None = None, *, input_scale: np.float32
) -> tuple[NDArray[np.int8], Floats]:
    """Quantize a weight (out, ...) to int8, with scales (out,) per output channel.

    The step of a bias is the product of the scales of input and weight. It is too small for a channel whose weights are
    all close to 0, as they are in some trained networks. Such a channel gets the scale at which ONNX Runtime's int32
    bias does not overflow.
    """
    scales = np.abs(weight).reshape(len(weight), -1).max(axis=1) / np.float32(MAX_WEIGHT_STEP)
    scales = np.maximum(scales, MIN_SCALE)
    if bias is not None:
        scales = np.maximum(scales, np.abs(bias) / (input_scale * np.float32(2**30)))
    steps = np.rint(weight / scales.reshape(-1, *[1] * (weight.ndim - 1)))
    return steps.astype(np.int8), scales


class _Writer:
    """Creates int8 layers, and adds their constants to a graph."""

    def __init__(self, graph: onnx.GraphProto, peaks: Peaks) -> None:
        self.graph, self.peaks = graph, peaks
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.int8_maps: dict[str, str] = {}  # map -> its quantized form
        self._constant(ZERO_POINT, np.int8(0))

    def quantized(self, conv: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return the nodes of a quantized convolution."""
        (source, target), peaks = (conv.input[0], conv.output[0]), self.peaks[layer_of(conv)]
        nodes = [] if source in self.int8_maps else self._pair(source, f"{source}.int8", peaks.input)
        nodes.append(self._weight(conv, map_scale(peaks.input)))
        copy = onnx.NodeProto()
        copy.CopyFrom(conv)
        copy.name, copy.output[0] = f"{target}.conv", f"{target}.float"
        copy.input[0], copy.input[1] = self.int8_maps.setdefault(source, f"{source}.int8"), nodes[-1].output[0]
        return [*nodes, copy, *self._pair(copy.output[0], target, peaks.output)]

    def _pair(self, source: str, target: str, peak: float) -> list[onnx.NodeProto]:
        steps, scale = f"{target}.steps", self._constant(f"{target}.scale", map_scale(peak))
        return [
            make_node("QuantizeLinear", [source, scale, ZERO_POINT], [steps], f"{target}.quantize"),
            make_node("DequantizeLinear", [steps, scale, ZERO_POINT], [target], f"{target}.dequantize"),
        ]

    def _weight(self, conv: onnx.NodeProto, input_scale: np.float32) -> onnx.NodeProto:
        name, *bias = [key for key in conv.input[1:] if key in self.constants]
        values = (numpy_helper.to_array(self.constants[key]) for key in (name, *bias))
        steps, scales = quantize_weight(*values, input_scale=input_scale)
        inputs = [self._constant(f"{name}.steps", steps), self._constant(f"{name}.scales", scales)]
        return make_node("DequantizeLinear", inputs, [f"{name}.int8"], f"{name}.dequantize", axis=0)

    def _constant(self, name: str, value: Any) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _replace_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Replace the nodes of a graph, and remove weights that no node reads."""
    weights = {node.input[1] for node in graph.node if layer_of(node)}
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used or tensor.name not in weights]
    for field, values in ((graph.node, nodes), (graph.initializer, kept)):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(copies)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    duplicate = onnx.ModelProto()
    duplicate.CopyFrom(model)
    return duplicate
