"""Int8 export: convolutions that take and give 8-bit numbers, written as QuantizeLinear / DequantizeLinear pairs.

    x ─ Q ─ DQ ─┐
    weight ─ DQ ─ Conv ─ Q ─ DQ ─ activation

All is symmetric, with zero points of 0, as TensorRT asks for: a weight has a scale per output channel, a feature map
one for all. The scale of a map is the mean, over the calibration pictures, of its largest magnitude in one picture, so
that no single picture sets it. Biases stay float32: TensorRT takes no other, and ONNX Runtime rounds them itself.

Convolutions that no other follows stay float32. They give the predictions, and all numbers of a prediction, box and
scores, would share 256 steps; with what decodes them they are the border that `precision.HalfNetwork` has too.
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
from model_zoo.export.parity import session
from model_zoo.runtime.int8 import ZERO_POINT

STEPS = 127  # of one sign
SMALLEST_STEP = np.float32(1e-30)  # above 0, with room for its product with another below
ALONE = ".alone"
Peaks = Mapping[str, float]  # largest magnitude by tensor
Pictures = Sequence[NDArray[np.uint8]]
Floats = NDArray[np.float32]


def layer_of(node: onnx.NodeProto) -> str:
    """Name a convolution by its module in the detector, such as `backbone.stem.conv`; others have the empty name."""
    return node.input[1].removeprefix("network.").removesuffix(".weight") if node.op_type == "Conv" else ""


def layers_to_quantize(model: onnx.ModelProto) -> list[str]:
    """List the convolutions with constant weights that another convolution follows, at once or later."""
    constants = {tensor.name for tensor in model.graph.initializer}
    read: set[str] = set()  # by a convolution, at once or in the end
    layers = []
    for node in reversed(model.graph.node):
        leads_on = any(name in read for name in node.output)
        if layer_of(node) and leads_on and node.input[1] in constants:
            layers.append(layer_of(node))
        if layer_of(node) or leads_on:
            read.update(node.input)
    return layers[::-1]


def measure_peaks(model: onnx.ModelProto, layers: Collection[str], pictures: Pictures) -> Peaks:
    """Return the mean over pictures of the largest magnitude of every map that the layers take or give.

    ExportError where one is not finite.
    """
    convs = [node for node in model.graph.node if layer_of(node) in layers]
    tensors = list(dict.fromkeys(name for conv in convs for name in (conv.input[0], conv.output[0])))
    watching = _copy(model)
    for name in tensors:
        magnitude, peak = make_node("Abs", [name], [f"{name}.abs"]), f"{name}.peak"
        watching.graph.node.extend([magnitude, make_node("ReduceMax", magnitude.output, [peak], keepdims=0)])
    met = run_for(watching, [f"{name}.peak" for name in tensors], pictures).mean(axis=0)
    if not np.isfinite(met).all():
        raise ExportError("calibration: expected finite numbers; this network gives others on the calibration pictures")
    return dict(zip(tensors, met.tolist(), strict=True))


def quantize(model: onnx.ModelProto, layers: Collection[str], peaks: Peaks) -> onnx.ModelProto:
    """Return the model with its layers on int8."""
    result = _copy(model)
    writer = _Writer(result.graph, peaks)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.extend(writer.on_int8(node, node.output[0]) if layer_of(node) in layers else [node])
    _replace_nodes(result.graph, nodes)
    onnx.checker.check_model(result, full_check=True)
    return result


def with_twins(model: onnx.ModelProto, layers: Collection[str], peaks: Peaks) -> onnx.ModelProto:
    """Return the model as it is, with a twin beside every layer: int8 by itself, on float32 input, named `.alone`."""
    result = _copy(model)
    writer = _Writer(result.graph, peaks)
    for node in model.graph.node:
        if layer_of(node) in layers:
            result.graph.node.extend(writer.on_int8(node, node.output[0] + ALONE))
    return result


def run_for(model: onnx.ModelProto, outputs: Sequence[str], pictures: Pictures) -> NDArray[np.float64]:
    """Run a model on every picture for single numbers: (pictures, outputs)."""
    asked = _copy(model)
    del asked.graph.output[:]
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    opened = session(asked)
    return np.array([opened.run(None, {"images": picture}) for picture in pictures], dtype=np.float64)


def per_channel(weight: Floats, smallest: Floats | float) -> tuple[NDArray[np.int8], Floats]:
    """Round a weight (out, ...) to int8 by a scale per output channel (out,), none below `smallest`."""
    scales = np.maximum(_scale(np.abs(weight).reshape(len(weight), -1).max(axis=1)), np.float32(smallest))
    steps = np.rint(weight / scales.reshape(-1, *[1] * (weight.ndim - 1)))
    return steps.astype(np.int8), scales


class _Writer:
    """Writes layers on int8, and the constants they need into a graph."""

    def __init__(self, graph: onnx.GraphProto, peaks: Peaks) -> None:
        self.graph, self.peaks = graph, peaks
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.rounded: dict[str, str] = {}  # map -> its 8-bit form
        self._constant(ZERO_POINT, np.int8(0))

    def on_int8(self, conv: onnx.NodeProto, target: str) -> list[onnx.NodeProto]:
        """Return the nodes of a convolution that gives `target`."""
        source, weight = conv.input[:2]
        nodes = [] if source in self.rounded else self._pair(source, f"{source}.int8", self.peaks[source])
        nodes.append(self._weight(weight, self._smallest_scale(conv)))
        twin = onnx.NodeProto()
        twin.CopyFrom(conv)
        twin.name, twin.output[0] = f"{target}.conv", f"{target}.float"
        twin.input[0], twin.input[1] = self.rounded.setdefault(source, f"{source}.int8"), nodes[-1].output[0]
        return [*nodes, twin, *self._pair(twin.output[0], target, self.peaks[conv.output[0]])]

    def _pair(self, source: str, target: str, peak: float) -> list[onnx.NodeProto]:
        steps, scale = f"{target}.steps", self._constant(f"{target}.scale", _scale(peak))
        return [
            make_node("QuantizeLinear", [source, scale, ZERO_POINT], [steps], f"{target}.quantize"),
            make_node("DequantizeLinear", [steps, scale, ZERO_POINT], [target], f"{target}.dequantize"),
        ]

    def _smallest_scale(self, conv: onnx.NodeProto) -> Floats | float:
        """Return the scales (out,) below which a bias would not fit the int32 that ONNX Runtime rounds it to.

        It counts in steps of both scales, the input's times the weight's: too small for a channel whose weights are
        all next to nothing, as training leaves some.
        """
        if len(conv.input) < 3 or conv.input[2] not in self.constants:
            return 0.0
        bias = numpy_helper.to_array(self.constants[conv.input[2]])
        return np.asarray(np.abs(bias) / (_scale(self.peaks[conv.input[0]]) * np.float32(2**30)), np.float32)

    def _weight(self, name: str, smallest: Floats | float) -> onnx.NodeProto:
        steps, scales = per_channel(numpy_helper.to_array(self.constants[name]), smallest)
        inputs = [self._constant(f"{name}.steps", steps), self._constant(f"{name}.scales", scales)]
        return make_node("DequantizeLinear", inputs, [f"{name}.int8"], f"{name}.dequantize", axis=0)

    def _constant(self, name: str, value: Any) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _scale(peak: Any) -> Any:
    """Return the step for numbers up to `peak`; a map or a channel may be nothing but 0."""
    return np.maximum(np.float32(peak) / np.float32(STEPS), SMALLEST_STEP)


def _replace_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Give a graph other nodes, and drop the weights that none of them reads any more."""
    weights = {node.input[1] for node in graph.node if layer_of(node)}
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used or tensor.name not in weights]
    for field, values in ((graph.node, nodes), (graph.initializer, kept)):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(copies)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    return twin
