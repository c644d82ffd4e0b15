"""Quantize convolutions to int8, as QuantizeLinear / DequantizeLinear pairs around them.

    map ─ Q ─ DQ ─┐
    weight ─ DQ ─ Conv ─ (Q ─ DQ) ─ activation ─ Q ─ DQ ─ next convolution

Quantization of maps is symmetric, with zero points of 0, as TensorRT requires. Weights have a scale per output channel,
feature maps one per tensor. The scale of a map is its largest magnitude in an image, averaged over the calibration
images, so that no single image determines it. Biases stay float32: TensorRT requires it, and ONNX Runtime rounds them
itself. The pair in parentheses is optional (`export/int8_maps.py`): `runtime/int8.py` removes it for most runtimes.

Weights are limited to steps of -64 to 64. On x86 CPUs without VNNI, kernels add pairs of products in 16 bits. With maps
up to 255 and weights up to 64 the sums fit; with larger weights they saturate. So all CPUs compute the same integers.

Convolutions of images stay float32, and those that no other convolution follows. The latter output the predictions,
whose box and scores would share 256 steps. `precision.HalfNetwork` keeps everything after them in float32.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.helper import make_node

from model_zoo.export.int8_maps import MIN_SCALE, Int8Map, Peaks, int8_maps, layer_of
from model_zoo.runtime.int8 import OPTIONAL_MAP, ZERO_POINT

MAX_WEIGHT_STEP = 64
MIN_CHANNELS = 4  # of an input. ONNX Runtime's int8 convolution of an image is slower than the one in float32
Floats = NDArray[np.float32]


def layers_to_quantize(model: onnx.ModelProto) -> list[str]:
    """Return the convolutions of feature maps that another convolution follows, directly or later."""
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer if len(tensor.dims) > 1}
    inputs: set[str] = set()  # of convolutions, directly or through other nodes
    layers = []
    for node in reversed(model.graph.node):
        is_followed = any(name in inputs for name in node.output)
        if layer_of(node) and is_followed and _input_channels(node, weights) >= MIN_CHANNELS:
            layers.append(layer_of(node))
        if layer_of(node) or is_followed:
            inputs.update(node.input)
    return layers[::-1]


def quantize(model: onnx.ModelProto, layers: Collection[str], peaks: Peaks) -> onnx.ModelProto:
    """Return the model with the given layers in int8."""
    result = _copy(model)
    writer = _Writer(result.graph, int8_maps(model.graph, layers, peaks))
    nodes = writer.pairs(value.name for value in model.graph.input)
    for node in model.graph.node:
        nodes += [*writer.quantized(node, is_int8=layer_of(node) in layers), *writer.pairs(node.output)]
    _replace_nodes(result.graph, nodes)
    onnx.checker.check_model(result, full_check=True)
    return result


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

    def __init__(self, graph: onnx.GraphProto, maps: Mapping[str, Int8Map]) -> None:
        self.graph, self.maps = graph, maps
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.zero_points: dict[int, str] = {}
        optional = [name for name, own in maps.items() if own.optional]
        self.optional = {name: OPTIONAL_MAP.format(index) for index, name in enumerate(optional)}

    def quantized(self, node: onnx.NodeProto, *, is_int8: bool) -> list[onnx.NodeProto]:
        """Return a node that reads int8 maps. Convolutions may have int8 weights."""
        copy, nodes = onnx.NodeProto(), []
        copy.CopyFrom(node)
        if is_int8:
            nodes.append(self._weight(node, self.maps[node.input[0]].scale))
            copy.input[1] = nodes[0].output[0]
        copy.input[:] = [self._int8(name) if name in self.maps else name for name in copy.input]
        copy.output[:] = [self._float(name) for name in copy.output]
        return [*nodes, copy]

    def pairs(self, names: Iterable[str]) -> list[onnx.NodeProto]:
        """Return the QuantizeLinear / DequantizeLinear pairs of those maps that are in int8."""
        return [node for name in names if name in self.maps for node in self._pair(name)]

    def _float(self, name: str) -> str:
        return f"{self.optional[name]}.fp32" if name in self.optional else name

    def _int8(self, name: str) -> str:
        return f"{self.optional.get(name, name)}.int8"

    def _pair(self, name: str) -> list[onnx.NodeProto]:
        target, own = self._int8(name), self.maps[name]
        steps, scale = f"{target}.steps", self._constant(f"{target}.scale", own.scale)
        zero_point = self._zero_point(own.zero_point)
        return [
            make_node("QuantizeLinear", [self._float(name), scale, zero_point], [steps], f"{target}.quantize"),
            make_node("DequantizeLinear", [steps, scale, zero_point], [target], f"{target}.dequantize"),
        ]

    def _zero_point(self, value: int) -> str:
        """Return the constant that all maps with this zero point share."""
        if value not in self.zero_points:
            self.zero_points[value] = self._constant(
                f"{ZERO_POINT}{value:+04d}" if value else ZERO_POINT, np.int8(value)
            )
        return self.zero_points[value]

    def _weight(self, conv: onnx.NodeProto, input_scale: np.float32) -> onnx.NodeProto:
        name, *bias = [key for key in conv.input[1:] if key in self.constants]
        values = (numpy_helper.to_array(self.constants[key]) for key in (name, *bias))
        steps, scales = quantize_weight(*values, input_scale=input_scale)
        inputs = [self._constant(f"{name}.steps", steps), self._constant(f"{name}.scales", scales)]
        return make_node("DequantizeLinear", inputs, [f"{name}.int8"], f"{name}.dequantize", axis=0)

    def _constant(self, name: str, value: Any) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _input_channels(conv: onnx.NodeProto, weights: Mapping[str, Sequence[int]]) -> int:
    """Return the number of input channels of a convolution, or 0 if its weights are not constant."""
    groups = next((attribute.i for attribute in conv.attribute if attribute.name == "group"), 1)
    return int(weights[conv.input[1]][1] * groups) if conv.input[1] in weights else 0


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
