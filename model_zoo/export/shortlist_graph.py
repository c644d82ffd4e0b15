"""Append NMS of a shortlist to a graph, and of all candidates where the shortlist is too short.

    maps ─┬─ rank ─ shortlist ─ decode ─ labels ─ sort ─┬─ If ─ NMS ─ detections, count
          └─ rows ─ top k ───── decode ─ labels ─ sort ─┘

Both give the same detections, padded to one size before NMS. The `If` takes the second only if a prediction outside the
shortlist may exceed the threshold. Its branch contains the nodes that no other output needs, so the rows of all
predictions exist only there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import onnx_ir as ir

from model_zoo.export.nms_graph import (
    add_thresholds,
    append_labels,
    append_rank,
    call,
    detect,
    finish,
    suffices,
)
from model_zoo.export.options import BLOCK


class Shortlist(NamedTuple):
    """Outputs of `candidates.shortlist` in a graph."""

    boxes: ir.Value
    """Boxes (B, m, 4)."""
    scores: ir.Value
    """Scores (B, m, C)."""
    bound: ir.Value
    """Upper bound of the scores of all other predictions (B,)."""


def append_shortlist_nms(
    model: ir.Model, few: Shortlist, boxes: ir.Value, scores: ir.Value, multi_label_below: float
) -> None:
    """Append NMS of candidate boxes (B, n, 4) and scores (B, n, C) that a shortlist replaces where it suffices."""
    assert boxes.shape is not None
    assert few.boxes.shape is not None
    all_rows, few_rows = boxes.shape[1], few.boxes.shape[1]
    assert isinstance(all_rows, int)
    assert isinstance(few_rows, int)
    graph, thresholds = model.graph, add_thresholds(model.graph)
    rows = append_labels(model, graph, few.boxes, few.scores, thresholds[0], multi_label_below)
    (enough,) = call(model, graph, suffices, rows, few.bound, thresholds[0])
    short = ir.Graph([], [], nodes=[], name="shortlist")
    short.outputs.extend(append_rank(model, short, rows, thresholds[0], all_rows - few_rows + BLOCK))
    full = _move(graph, [boxes, scores], enough)
    everything = append_labels(model, full, boxes, scores, thresholds[0], multi_label_below)
    full.outputs.extend(append_rank(model, full, everything, thresholds[0], BLOCK))
    branches = [ir.AttrGraph("then_branch", short), ir.AttrGraph("else_branch", full)]
    choice = ir.Node("", "If", [enough], branches, outputs=[ir.Value(name="ranked_rows"), ir.Value(name="alive_rows")])
    graph.append(choice)
    finish(model, boxes, call(model, graph, detect, *choice.outputs, *thresholds[1:]))


def _move(graph: ir.Graph, values: Sequence[ir.Value], other: ir.Value) -> ir.Graph:
    """Move the nodes that `values` need, and `other` does not, to a new graph.

    Readers of inputs stay. A branch of TensorRT accepts no uint8, not even to read its shape.
    """
    needed = _producers(values) - _producers([other])
    nodes = [node for node in graph if node in needed and not {*node.inputs} & {*graph.inputs}]
    graph.remove(nodes)
    return ir.Graph([], [], nodes=nodes, name="candidates")


def _producers(values: Sequence[ir.Value]) -> set[ir.Node]:
    """Return all nodes that values are computed by."""
    found: set[ir.Node] = set()
    waiting = [value.producer() for value in values]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting.extend(value.producer() for value in node.inputs if value is not None)
    return found
