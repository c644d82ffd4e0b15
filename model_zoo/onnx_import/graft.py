"""Put the graph contract around a network.

images uint8 (B, H, W, 3) RGB
  └─ cast, scale, swap, transpose ─ network ─ decode ─ top k ─ NMS ─ detections, count
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
import onnxscript.optimizer
from onnx import ModelProto
from onnx_ir.passes import common as passes

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError
from model_zoo.export.nms_graph import THRESHOLD_INPUTS, append_nms
from model_zoo.onnx_import.decoding import Decoding, grid_cells
from model_zoo.onnx_import.graph_writer import GraphWriter
from model_zoo.onnx_import.network import IMAGENET_MEAN, IMAGENET_STD, InputFormat, Network
from model_zoo.onnx_import.reader import first_line

MIN_OPSET, TARGET_OPSET = 18, 20  # of the operators used here; older files are converted
IR_VERSION = 10
PREFIX = "network/"  # of all names of the file, so that they differ from those of the contract


def graft(network: Network, decoding: Decoding, card: ModelCard) -> ModelProto:
    """Return a model with the inputs and outputs of the contract around the network.

    Raises:
        LineageError: The file's opset cannot be converted.
    """
    model = ir.from_proto(_upgrade(network.model))
    graph, fmt = model.graph, network.format
    inputs, outputs = ({value.name: value for value in values} for values in (graph.inputs, graph.outputs))
    for node in graph.all_nodes():
        for value in node.outputs:
            value.shape = None  # it may be wrong, and is inferred
    _prefix_names(graph)
    write, images = GraphWriter(graph), _images(fmt)
    batch = "batch" if fmt.dynamic_batch else 1
    inputs[fmt.name].replace_all_uses_with(_network_input(write, images, fmt))
    if fmt.sizes_name:
        inputs[fmt.sizes_name].replace_all_uses_with(_image_sizes(write, images))
    graph.inputs[:], graph.outputs[:] = [images], []
    boxes, scores = _select(write, *_decode(write, outputs, decoding, images, fmt), card.candidates)
    for value, columns in ((boxes, 4), (scores, decoding.classes)):
        value.dtype, value.shape = ir.DataType.FLOAT, ir.Shape([batch, card.candidates, columns])
    append_nms(model, boxes, scores, card.thresholds.multi_label_below)
    for value in graph.inputs:
        if value.name in THRESHOLD_INPUTS:
            value.shape = ir.Shape([batch])
    return _finish(model, card)


def _upgrade(model: ModelProto) -> ModelProto:
    """Return the model in an opset that has the operators used here."""
    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    if opset >= MIN_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, TARGET_OPSET)
    except (RuntimeError, onnx.version_converter.ConvertError) as error:
        raise LineageError(
            f"opset {opset} cannot be converted to {TARGET_OPSET}: {first_line(error)}; export the file with opset "
            f"{TARGET_OPSET}"
        ) from error


def _prefix_names(graph: ir.Graph) -> None:
    values = {id(value): value for value in (*graph.inputs, *graph.initializers.values())}
    for node in graph.all_nodes():
        node.name = PREFIX + node.name if node.name else None
        for inner in node.attributes.values():
            for body in (
                [inner.value]
                if inner.type == ir.AttributeType.GRAPH
                else inner.value
                if inner.type == ir.AttributeType.GRAPHS
                else ()
            ):
                values |= {id(value): value for value in (*body.inputs, *body.initializers.values())}
        values |= {id(value): value for value in node.outputs}
    for value in values.values():
        if value.name:
            value.name = PREFIX + value.name


def _images(fmt: InputFormat) -> ir.Value:
    sides = ("height", "width") if fmt.dynamic_size else fmt.size
    shape = ir.Shape(["batch" if fmt.dynamic_batch else 1, *sides, 3])
    return ir.Value(name="images", type=ir.TensorType(ir.DataType.UINT8), shape=shape)


def _network_input(write: GraphWriter, images: ir.Value, fmt: InputFormat) -> ir.Value:
    """Append what `InputFormat.feeds` computes."""
    pixels = write("Cast", images, to=ir.DataType.FLOAT)
    if fmt.scaling != "none":
        pixels = write("Div", pixels, np.float32(255))
    if fmt.scaling == "imagenet":
        pixels = write("Sub", pixels, np.asarray(IMAGENET_MEAN, dtype=np.float32))
        pixels = write("Div", pixels, np.asarray(IMAGENET_STD, dtype=np.float32))
    if fmt.color == "bgr":
        pixels = write("Gather", pixels, np.asarray([2, 1, 0]), axis=3)
    if not fmt.channels_last:
        pixels = write("Transpose", pixels, perm=[0, 3, 1, 2])
    kinds = {"float16": ir.DataType.FLOAT16, "uint8": ir.DataType.UINT8}
    return write("Cast", pixels, to=kinds[fmt.dtype]) if fmt.dtype in kinds else pixels


def _image_sizes(write: GraphWriter, images: ir.Value) -> ir.Value:
    """Append (B, 2): width and height of the canvas, once per image."""
    shape = write("Shape", images)
    rows = write("Concat", write("Gather", shape, np.asarray([0])), np.asarray([2]), axis=0)
    return write("Expand", write("Gather", shape, np.asarray([2, 1])), rows)


def _decode(
    write: GraphWriter, outputs: Mapping[str | None, ir.Value], decoding: Decoding, images: ir.Value, fmt: InputFormat
) -> tuple[ir.Value, ir.Value]:
    """Append what `decoding.decode` computes: boxes (B, N, 4) and scores (B, N, C)."""
    boxes, scores = _split(write, decoding, [write("Cast", outputs[n], to=ir.DataType.FLOAT) for n in decoding.outputs])
    if decoding.logits:
        scores = write("Sigmoid", scores)
    if decoding.layout == "yolox-raw":
        grid, strides = grid_cells(fmt.size)
        centers = write("Mul", write("Add", write.slice(boxes, 0, 2, 2), grid), strides)
        boxes = write("Concat", centers, write("Mul", write("Exp", write.slice(boxes, 2, 4, 2)), strides), axis=2)
    if decoding.boxes == "cxcywh":
        centers, half = write.slice(boxes, 0, 2, 2), write("Div", write.slice(boxes, 2, 4, 2), np.float32(2))
        boxes = write("Concat", write("Sub", centers, half), write("Add", centers, half), axis=2)
    if decoding.normalized:
        sides = write("Cast", write("Gather", write("Shape", images), np.asarray([2, 1, 2, 1])), to=ir.DataType.FLOAT)
        boxes = write("Mul", boxes, sides)
    return boxes, scores


def _split(write: GraphWriter, decoding: Decoding, values: list[ir.Value]) -> tuple[ir.Value, ir.Value]:
    rows, end = values[0], 2**31
    if decoding.layout == "boxes-scores":
        return rows, values[1]
    if decoding.layout == "boxes-scores-labels":
        axis = np.asarray([2])
        scores, labels = (write("Unsqueeze", value, axis) for value in values[1:])
        return rows, _one_hot(write, scores, labels, decoding.classes)
    if decoding.layout == "v8":
        rows = write("Transpose", rows, perm=[0, 2, 1])
    boxes = write.slice(rows, 0, 4, 2)
    if decoding.layout == "end-to-end":
        return boxes, _one_hot(write, write.slice(rows, 4, 5, 2), write.slice(rows, 5, 6, 2), decoding.classes)
    if decoding.has_objectness:
        return boxes, write("Mul", write.slice(rows, 4, 5, 2), write.slice(rows, 5, end, 2))
    return boxes, write.slice(rows, 4, end, 2)


def _one_hot(write: GraphWriter, scores: ir.Value, labels: ir.Value, classes: int) -> ir.Value:
    """Append scores (B, N, C) that are 0 for all classes but the label, from (B, N, 1)."""
    is_label = write("Equal", labels, np.arange(classes, dtype=np.float32))
    return write("Mul", scores, write("Cast", is_label, to=ir.DataType.FLOAT))


def _select(write: GraphWriter, boxes: ir.Value, scores: ir.Value, k: int) -> tuple[ir.Value, ir.Value]:
    """Append the k predictions with the best class scores, in order of prediction. Scores of padding are 0."""
    best = write("ReduceMax", scores, np.asarray([2]), keepdims=0)
    padded = write("Pad", best, np.asarray([0, 0, 0, k]), np.float32(-1))
    _, unordered = write.many("TopK", padded, np.asarray([k]), outputs=2, axis=1, sorted=0)
    index, _ = write.many("TopK", unordered, np.asarray([k]), outputs=2, axis=1, largest=0, sorted=1)
    count = write.slice(write("Shape", best), 1, 2, 0)
    is_valid = write("Unsqueeze", write("Cast", write("Less", index, count), to=ir.DataType.FLOAT), np.asarray([2]))
    rows = write("Unsqueeze", write("Min", index, write("Sub", count, np.asarray([1]))), np.asarray([2]))
    scores = write("Mul", write("GatherND", scores, rows, batch_dims=1), is_valid)
    return write("GatherND", boxes, rows, batch_dims=1), scores


def _finish(model: ir.Model, card: ModelCard) -> ModelProto:
    model.graph.sort()
    passes.ShapeInferencePass()(model)
    onnxscript.optimizer.fold_constants(model, onnx_shape_inference=True)  # replaces CastLike, as types are known
    for each in (
        passes.RemoveUnusedNodesPass(),
        passes.RemoveUnusedOpsetsPass(),
        passes.ClearMetadataAndDocStringPass(),
    ):
        each(model)
    model.ir_version = max(model.ir_version, IR_VERSION)
    model.graph.name, model.producer_name, model.producer_version = card.name, "yolo-lineage", None
    model.metadata_props.clear()
    model.metadata_props.update(card.to_metadata())
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    onnx.checker.check_model(proto)
    return proto
