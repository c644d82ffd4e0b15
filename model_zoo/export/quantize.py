"""Quantize convolutions to int8, as QuantizeLinear / DequantizeLinear pairs around them.

    x ─ Q ─ DQ ─┐
    weight ─ DQ ─ Conv ─ Q ─ DQ ─ activation

Quantization is symmetric, with zero points of 0, as TensorRT requires. Weights have a scale per output channel, feature
maps one per tensor. The scale of a map is its largest magnitude in an image, averaged over the calibration images, so
that no single image determines it. Biases stay float32: TensorRT requires it, and ONNX Runtime rounds them itself.

Convolutions that no other convolution follows stay float32. They output the predictions, whose box and scores would
share 256 steps. `precision.HalfNetwork` keeps everything after the prediction layers in float32.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.helper import make_node

from model_zoo.export.errors import ExportError
from model_zoo.export.sessions import open_model
from model_zoo.export.synthetic_images import ImageBatch
from model_zoo.runtime.int8 import ZERO_POINT

MAX_STEP = 127
MIN_SCALE = np.float32(1e-30)  # positive, and so is the product of two scales
QUANTIZED_SUFFIX = ".quantized"
Peaks = Mapping[str, float]  # largest magnitude by tensor name
CalibrationImages = Sequence[ImageBatch]
Floats = NDArray[np.float32]


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


def measure_peaks(model: onnx.ModelProto, layers: Collection[str], images: CalibrationImages) -> Peaks:
    """Return the largest magnitude of each input and output of the layers, averaged over the images.

    Raises:
        ExportError: A value is NaN or infinite.
    """
    convs = [node for node in model.graph.node if layer_of(node) in layers]
    tensors = list(dict.fromkeys(name for conv in convs for name in (conv.input[0], conv.output[0])))
    extended = _copy(model)
    for name in tensors:
        magnitude, peak = make_node("Abs", [name], [f"{name}.abs"]), f"{name}.peak"
        extended.graph.node.extend([magnitude, make_node("ReduceMax", magnitude.output, [peak], keepdims=0)])
    peaks = run_scalars(extended, [f"{name}.peak" for name in tensors], images).mean(axis=0)
    if not np.isfinite(peaks).all():
        raise ExportError(
            "calibration: expected finite values; the network computes NaN or infinity for a calibration image"
        )
    return dict(zip(tensors, peaks.tolist(), strict=True))


def quantize(model: onnx.ModelProto, layers: Collection[str], peaks: Peaks) -> onnx.ModelProto:
    """Return the model with the given layers in int8."""
    result = _copy(model)
    writer = _Writer(result.graph, peaks)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.extend(writer.quantized(node, node.output[0]) if layer_of(node) in layers else [node])
    _replace_nodes(result.graph, nodes)
    onnx.checker.check_model(result, full_check=True)
    return result


def add_quantized_copies(model: onnx.ModelProto, layers: Collection[str], peaks: Peaks) -> onnx.ModelProto:
    """Return the model with an int8 copy of each layer, which reads the float32 input. Outputs end in `.quantized`."""
    result = _copy(model)
    writer = _Writer(result.graph, peaks)
    for node in model.graph.node:
        if layer_of(node) in layers:
            result.graph.node.extend(writer.quantized(node, node.output[0] + QUANTIZED_SUFFIX))
    return result


def run_scalars(model: onnx.ModelProto, outputs: Sequence[str], images: CalibrationImages) -> NDArray[np.float64]:
    """Run a model on each image and return its scalar outputs (images, outputs)."""
    selected = _copy(model)
    del selected.graph.output[:]
    selected.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    session = open_model(selected)
    return np.array([session.run(None, {"images": image}) for image in images], dtype=np.float64)


def quantize_per_channel(weight: Floats, min_scale: Floats | float) -> tuple[NDArray[np.int8], Floats]:
    """Quantize a weight (out, ...) to int8, with scales (out,) per output channel of at least `min_scale`."""
    scales = np.maximum(_scale(np.abs(weight).reshape(len(weight), -1).max(axis=1)), np.float32(min_scale))
    steps = np.rint(weight / scales.reshape(-1, *[1] * (weight.ndim - 1)))
    return steps.astype(np.int8), scales


class _Writer:
    """Creates int8 layers, and adds their constants to a graph."""

    def __init__(self, graph: onnx.GraphProto, peaks: Peaks) -> None:
        self.graph, self.peaks = graph, peaks
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.int8_maps: dict[str, str] = {}  # map -> its quantized form
        self._constant(ZERO_POINT, np.int8(0))

    def quantized(self, conv: onnx.NodeProto, target: str) -> list[onnx.NodeProto]:
        """Return the nodes of a quantized convolution with the output `target`."""
        source, weight = conv.input[:2]
        nodes = [] if source in self.int8_maps else self._pair(source, f"{source}.int8", self.peaks[source])
        nodes.append(self._weight(weight, self._min_scale(conv)))
        copy = onnx.NodeProto()
        copy.CopyFrom(conv)
        copy.name, copy.output[0] = f"{target}.conv", f"{target}.float"
        copy.input[0], copy.input[1] = self.int8_maps.setdefault(source, f"{source}.int8"), nodes[-1].output[0]
        return [*nodes, copy, *self._pair(copy.output[0], target, self.peaks[conv.output[0]])]

    def _pair(self, source: str, target: str, peak: float) -> list[onnx.NodeProto]:
        steps, scale = f"{target}.steps", self._constant(f"{target}.scale", _scale(peak))
        return [
            make_node("QuantizeLinear", [source, scale, ZERO_POINT], [steps], f"{target}.quantize"),
            make_node("DequantizeLinear", [steps, scale, ZERO_POINT], [target], f"{target}.dequantize"),
        ]

    def _min_scale(self, conv: onnx.NodeProto) -> Floats | float:
        """Return the scales (out,) below which a bias would overflow int32 in ONNX Runtime.

        The step of a bias is the product of the scales of input and weight. It is too small for a channel whose weights
        are all close to 0, as they are in some trained networks.
        """
        if len(conv.input) < 3 or conv.input[2] not in self.constants:
            return 0.0
        bias = numpy_helper.to_array(self.constants[conv.input[2]])
        return np.asarray(np.abs(bias) / (_scale(self.peaks[conv.input[0]]) * np.float32(2**30)), np.float32)

    def _weight(self, name: str, min_scale: Floats | float) -> onnx.NodeProto:
        steps, scales = quantize_per_channel(numpy_helper.to_array(self.constants[name]), min_scale)
        inputs = [self._constant(f"{name}.steps", steps), self._constant(f"{name}.scales", scales)]
        return make_node("DequantizeLinear", inputs, [f"{name}.int8"], f"{name}.dequantize", axis=0)

    def _constant(self, name: str, value: Any) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _scale(peak: Any) -> Any:
    """Return the scale for magnitudes up to `peak`, which may be 0."""
    return np.maximum(np.float32(peak) / np.float32(MAX_STEP), MIN_SCALE)


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
