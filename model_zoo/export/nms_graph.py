"""Append exact greedy NMS to a graph, with operators that every runtime supports.

The definition is that of `model_zoo.contract.nms`, in its float32 arithmetic. A greedy pass over candidates sorted by
score is the only solution of

    keep_j = alive_j and not any_{i < j} (keep_i and suppresses_ij)

Iterating the right side from keep = alive converges to it: n iterations resolve all chains of up to n suppressions. One
iteration is a product and a maximum, so NMS is a Loop until nothing changes.

Candidates are processed in blocks of 64, best first. Each block is suppressed by the rows kept so far, then within
itself, and its survivors are appended to the rows kept. The Loop over blocks ends when no image has further candidates
above its threshold. An image with 60 of them costs one 64 x 64 matrix, whatever the candidate limit. No shape depends
on data, because TensorRT supports that only with plugins.

The functions below are ONNX Script: Python syntax for an ONNX graph, compiled when this module is imported. Candidates
are rows (B, n, 6) = x1, y1, x2, y2, score, class. A class as float32 is exact below 2**24. Pairs of candidates are
computed without `Where`, which takes ONNX Runtime 6 to 18 times as long as a product. Rows are replaced by zeros with
it, because 0 times infinity is NaN, and NaN exceeds every threshold in OpenVINO. Constants are `op.Constant`, because a
plain number is cast again in each iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto
from onnx_ir.passes import common as passes
from onnxscript import BOOL, FLOAT, INT32, OnnxFunction, script
from onnxscript import opset20 as op

from model_zoo.export.canonical_form import CarriedTypes, canonical_form
from model_zoo.export.options import BLOCK

TINY = 1e-38  # least divisor, so that empty boxes give 0 instead of NaN
CARRIED: Final[CarriedTypes] = {
    "before": (TensorProto.INT64, ()),
    "start": (TensorProto.INT64, ()),
    "kept": (TensorProto.FLOAT, (None, None, 6)),
}
"""Types and shapes of what loops carry, besides masks."""
THRESHOLD_INPUTS = ("score_threshold", "iou_threshold", "distance_weight")  # per image, (B,)


@script()
def diou(a: FLOAT[...], b: FLOAT[...], distance_weight: FLOAT[...]) -> FLOAT[...]:
    """Return IoU - distance_weight * rho^2 / c^2 of all pairs, computed in the order of `contract.boxes.aligned_diou`.

    Coordinates are separate, (B, n, 1) against (B, 1, m), because broadcasting a last axis of two is slow on a CPU.
    Halves of distances are factored out as a quarter of the weight, which is exact.
    """
    ax1, ay1, ax2, ay2, _, _ = op.Split(a, axis=2, num_outputs=6)
    bx1, by1, bx2, by2, _, _ = op.Split(op.Transpose(b, perm=[0, 2, 1]), axis=1, num_outputs=6)
    inter_width = op.Relu(op.Min(ax2, bx2) - op.Max(ax1, bx1))
    inter_height = op.Relu(op.Min(ay2, by2) - op.Max(ay1, by1))
    inter = inter_width * inter_height
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - inter
    iou = inter / op.Max(union, op.Constant(value_float=TINY))
    if op.ReduceMax(distance_weight, keepdims=0) > op.Constant(value_float=0.0):
        width = op.Max(ax2, bx2) - op.Min(ax1, bx1)
        height = op.Max(ay2, by2) - op.Min(ay1, by1)
        dx = (ax1 - bx1) + (ax2 - bx2)
        dy = (ay1 - by1) + (ay2 - by2)
        penalty = (dx * dx + dy * dy) / op.Max(width * width + height * height, op.Constant(value_float=TINY))
        measure = iou - op.Unsqueeze(distance_weight * op.Constant(value_float=0.25), [1, 2]) * penalty
    else:
        measure = op.Identity(iou)
    return measure


@script()
def suppresses(a: FLOAT[...], b: FLOAT[...], iou_threshold: FLOAT[...], distance_weight: FLOAT[...]) -> FLOAT[...]:
    """Return 1 where a row of `a` (B, n, 6), if kept, suppresses one of `b` (B, m, 6): (B, n, m).

    A row of zeros suppresses none, because IoU thresholds are not negative.
    """
    close = diou(a, b, distance_weight) > op.Unsqueeze(iou_threshold, [1, 2])
    a_class = op.Slice(a, [5], [6], [2])
    b_class = op.Transpose(op.Slice(b, [5], [6], [2]), perm=[0, 2, 1])
    return op.Cast(op.And(close, a_class == b_class), to=1)


@script()
def any_of(suppression: FLOAT[...]) -> FLOAT[...]:
    """Return 1 for candidates that any row suppresses: (B, n, m) -> (B, m).

    This is a maximum and not a MatMul, because TensorRT-RTX has no float32 MatMul for compute capability 7.5.
    """
    return op.ReduceMax(suppression, [1], keepdims=0)


@script()
def fixed_point(free: FLOAT[...], suppression: FLOAT[...]) -> FLOAT[...]:
    """Solve keep = free and not any_of(keep and suppression), with the upper triangle of `suppression` (B, n, n)."""
    upper_triangle = op.Trilu(suppression, 1, upper=1)
    keep = op.Identity(free)
    changing = op.ReduceSum(free, keepdims=0) > op.Constant(value_float=0.0)
    while changing:
        new = op.Relu(free - any_of(op.Unsqueeze(keep, [2]) * upper_triangle))
        changing = op.ReduceSum(op.Abs(new - keep), keepdims=0) > op.Constant(value_float=0.0)
        keep = op.Identity(new)
    return keep


@script()
def pack(rows: FLOAT[...], keep: FLOAT[...]) -> FLOAT[...]:
    """Move the rows of a block to keep (B, BLOCK) to its start, in their order, and replace the others by zeros.

    All keys of rows to keep differ, so the order does not depend on how a runtime sorts equal values.
    """
    size = op.Constant(value_int=BLOCK)
    key, order = op.TopK(keep * op.Cast(op.Range(size, 0, -1), to=1), op.Unsqueeze(size, [0]))
    packed = op.GatherND(rows, op.Unsqueeze(order, [2]), batch_dims=1)
    return op.Where(op.Unsqueeze(key, [2]) > op.Constant(value_float=0.0), packed, op.Constant(value_float=0.0))


@script()
def greedy_nms(
    ranked: FLOAT[...], alive: FLOAT[...], iou_threshold: FLOAT[...], distance_weight: FLOAT[...]
) -> tuple[FLOAT[...], FLOAT[...]]:
    """Return the rows that greedy NMS keeps, of those that `rank` returns, and their number (B, 1).

    No measure exceeds 1, so images with such an IoU threshold keep all of them without a comparison.
    """
    size = op.Constant(value_int=BLOCK)
    within = op.Range(0, size, 1)
    contested = op.Cast(op.Unsqueeze(iou_threshold, [1]) < op.Constant(value_float=1.0), to=1)
    uncontested = op.Constant(value_float=1.0) - contested
    kept = op.Where(op.Unsqueeze(uncontested, [2]) > op.Constant(value_float=0.0), ranked, op.Constant(value_float=0.0))
    count = alive * uncontested
    end = op.Cast(op.ReduceMax(alive * contested, keepdims=0), to=7)
    start = op.Constant(value_int=0)
    more = start < end
    while more:
        block = op.Gather(ranked, start + within, axis=1)
        scores = op.Squeeze(op.Slice(block, [4], [5], [2]), [2])
        free = contested * op.Cast(scores > op.Constant(value_float=0.0), to=1)
        before = op.Constant(value_int=0)
        last = op.Cast(op.ReduceMax(count * contested, keepdims=0), to=7)
        pending = before < last
        while pending:
            better = op.Gather(kept, before + within, axis=1)
            free = op.Relu(free - any_of(suppresses(better, block, iou_threshold, distance_weight)))
            before = before + size
            pending = before < last
        settled = fixed_point(free, suppresses(block, block, iou_threshold, distance_weight))
        packed = pack(block, settled)
        places = op.Unsqueeze(op.Cast(count, to=7) + within, [2])
        kept = op.ScatterElements(kept, op.Expand(places, op.Shape(packed)), packed, axis=1)
        count = count + op.ReduceSum(settled, [1])
        start = start + size
        more = start < end
    return kept, count


@script()
def single_label(boxes: FLOAT[...], scores: FLOAT[...]) -> FLOAT[...]:
    """Return a row for each box with its best class. Ties go to the lower class."""
    class_ids = op.Cast(op.ArgMax(scores, axis=2, keepdims=1), to=1)
    return op.Concat(boxes, op.ReduceMax(scores, [2], keepdims=1), class_ids, axis=2)


@script()
def multi_label(boxes: FLOAT[...], scores: FLOAT[...]) -> FLOAT[...]:
    """Return a row for each of the n best pairs of box and class. Ties go to the lower box, then the lower class."""
    size = op.Slice(op.Shape(boxes), [1], [2])
    classes = op.Slice(op.Shape(scores), [2], [3])
    best, pair = op.TopK(op.Reshape(scores, [0, -1]), size)
    box = op.Unsqueeze(pair / classes, [2])
    class_ids = op.Unsqueeze(pair, [2]) - box * classes
    return op.Concat(op.GatherND(boxes, box, batch_dims=1), op.Unsqueeze(best, [2]), op.Cast(class_ids, to=1), axis=2)


@script()
def label_boxes(
    boxes: FLOAT[...], scores: FLOAT[...], score_threshold: FLOAT[...], multi_below: FLOAT[...]
) -> FLOAT[...]:
    """Return rows with all classes of a box for images with a threshold below `multi_below`, else its best class."""
    single = single_label(boxes, scores)
    multi = score_threshold < multi_below
    if op.ReduceMax(op.Cast(multi, to=1), keepdims=0) > 0.0:
        rows = op.Where(op.Unsqueeze(multi, [1, 2]), multi_label(boxes, scores), single)
    else:
        rows = op.Identity(single)
    return rows


@script()
def suffices(rows: FLOAT[...], bound: FLOAT[...], score_threshold: FLOAT[...]) -> BOOL:
    """Return whether all rows above the threshold are among the m rows (B, m, 6) of a shortlist.

    A shortlist with m rows above the threshold may lack further classes of its boxes. The margin is larger than the
    error of a sigmoid in float32, which does not always increase with its input.
    """
    scores = op.Slice(rows, [4], [5], [2])
    dead = op.Cast(scores <= op.Unsqueeze(score_threshold, [1, 2]), to=1)
    free = op.ReduceMax(op.Squeeze(dead, [2]), [1], keepdims=0)
    below = op.Cast(bound + 1e-6 <= score_threshold, to=1)
    return op.ReduceMin(free * below, keepdims=0) > 0.0


@script()
def rank(rows: FLOAT[...], score_threshold: FLOAT[...]) -> tuple[FLOAT[...], FLOAT[...]]:
    """Sort candidates (B, n, 6) by score. Return them, zero at and below the threshold, and the number above (B, 1).

    TopK returns equal values in order of their indices, so ties keep the order of predictions.
    """
    n = op.Slice(op.Shape(rows), [1], [2])
    scores, order = op.TopK(op.Squeeze(op.Slice(rows, [4], [5], [2]), [2]), n)
    alive = scores > op.Unsqueeze(score_threshold, [1])
    ranked = op.GatherND(rows, op.Unsqueeze(order, [2]), batch_dims=1)
    ranked = op.Where(op.Unsqueeze(alive, [2]), ranked, op.Constant(value_float=0.0))
    return ranked, op.ReduceSum(op.Cast(alive, to=1), [1])


@script()
def detect(
    ranked: FLOAT[...], alive: FLOAT[...], iou_threshold: FLOAT[...], distance_weight: FLOAT[...]
) -> tuple[FLOAT[...], INT32[...]]:
    """Suppress the candidates that `rank` returns, padded by a block.

    Return detections (B, n, 6), zero beyond the count, and count (B,).
    """
    kept, count = greedy_nms(ranked, alive, iou_threshold, distance_weight)
    end = op.Unsqueeze(-op.Constant(value_int=BLOCK), [0])
    return op.Slice(kept, [0], end, [1]), op.Cast(op.Squeeze(count, [1]), to=6)


def append_nms(model: ir.Model, boxes: ir.Value, scores: ir.Value, multi_label_below: float) -> None:
    """Append NMS of candidate boxes (B, n, 4) and scores (B, n, C), with its thresholds as inputs."""
    thresholds = add_thresholds(model.graph)
    rows = append_labels(model, model.graph, boxes, scores, thresholds[0], multi_label_below)
    ranked = append_rank(model, model.graph, rows, thresholds[0], BLOCK)
    finish(model, boxes, call(model, model.graph, detect, *ranked, *thresholds[1:]))


def add_thresholds(graph: ir.Graph) -> list[ir.Value]:
    """Add the inputs of NMS to a graph."""
    thresholds = [_threshold(name) for name in THRESHOLD_INPUTS]
    graph.inputs.extend(thresholds)
    return thresholds


def append_labels(
    model: ir.Model,
    graph: ir.Graph,
    boxes: ir.Value,
    scores: ir.Value,
    score_threshold: ir.Value,
    multi_label_below: float,
) -> ir.Value:
    """Append the choice of labels to the graph of a model or of a branch. Return rows (B, n, 6)."""
    if multi_label_below > 0:
        below = constant(model, "multi_label_below", np.float32(multi_label_below))
        return call(model, graph, label_boxes, boxes, scores, score_threshold, below)[0]
    return call(model, graph, single_label, boxes, scores)[0]


def append_rank(
    model: ir.Model, graph: ir.Graph, rows: ir.Value, score_threshold: ir.Value, padding: int
) -> list[ir.Value]:
    """Append the ranking of rows (B, n, 6), and `padding` rows of zeros. Return both outputs of `rank`."""
    ranked, alive = call(model, graph, rank, rows, score_threshold)
    missing = constant(model, f"padding_{padding}", np.asarray([0, 0, 0, 0, padding, 0]))
    graph.append(ir.Node("", "Pad", [ranked, missing], outputs=[ir.Value(name=f"{graph.name}_padded_rows")]))
    return [*graph[-1].outputs, alive]


def finish(model: ir.Model, boxes: ir.Value, outputs: Sequence[ir.Value]) -> None:
    """Make detections and count the outputs of a model, and inline all functions. `boxes` are the candidates."""
    assert boxes.shape is not None
    detections, count = outputs
    shape = [*boxes.shape[:2], 6]
    detections.name, detections.type, detections.shape = "detections", boxes.type, ir.Shape(shape)
    count.name, count.type, count.shape = "count", ir.TensorType(ir.DataType.INT32), ir.Shape(shape[:1])
    model.graph.outputs.extend([detections, count])
    passes.InlinePass()(model)


def constant(model: ir.Model, name: str, value: NDArray[Any] | np.generic) -> ir.Value:
    """Return the constant of this name, and add it to a model at the first call."""
    if name not in model.graph.initializers:
        model.graph.register_initializer(ir.Value(name=name, const_value=ir.tensor(value)))
    return model.graph.initializers[name]


def call(model: ir.Model, graph: ir.Graph, function: OnnxFunction, *inputs: ir.Value) -> Sequence[ir.Value]:
    """Append a call of an ONNX Script function to a graph, and add the function and its callees to the model.

    A function is called once per graph, so the names of its results are unique in the model.
    """
    names = [f"{graph.name}_{function.name}_{i}" for i, _ in enumerate(function.op_signature.outputs)]
    node = ir.Node(function.opset.domain, function.name, inputs, outputs=[ir.Value(name=name) for name in names])
    graph.append(node)
    for proto in (function.to_function_proto(), *function.to_model_proto().functions):
        callee = ir.from_proto(canonical_form(proto, CARRIED))
        callee.opset_imports[""] = model.opset_imports[""]  # the operators used here are the same from 18 on
        model.functions[callee.identifier()] = callee
    model.opset_imports[function.opset.domain] = 1
    return node.outputs


def _threshold(name: str) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch"]))
