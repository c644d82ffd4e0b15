"""A toy model with the graph contract whose detections depend on the pixels and thresholds."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from model_zoo.contract.card import ModelCard, WeightsOrigin
from model_zoo.contract.letterbox import Size

CLASS_NAMES = ("red", "green", "blue")
THRESHOLDS = ("score_threshold", "iou_threshold", "distance_weight")


TOY = {"candidates": 3, "max_detections": 3, "weights": WeightsOrigin("Apache-2.0", "toy", parents=())}


def toy_card(name: str = "toy", size: Size = (64, 64), **changes: object) -> ModelCard:
    return ModelCard(name, "toy", "toy", CLASS_NAMES, size, 32, **TOY | changes)


def toy_onnx(card: ModelCard, *, work: int = 0) -> bytes:
    """Build the graph: one detection per color channel, score = its mean / 255.

    The box is (mean red, mean green, mean red + 10, mean green + 20 + iou + distance_weight) / 8. `work` is the number
    of extra multiplications of 256 x 256 matrices in one run (about 0.1 ms each).
    """
    onnx = pytest.importorskip("onnx", reason="building the toy model needs onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        _work_nodes(onnx) + _detection_nodes(onnx),
        "toy",
        [
            value("images", kinds.UINT8, ["batch", "height", "width", 3]),
            *(value(name, kinds.FLOAT, ["batch"]) for name in THRESHOLDS),
        ],
        [value("detections", kinds.FLOAT, ["batch", 3, 6]), value("count", kinds.INT32, ["batch"])],
        [onnx.numpy_helper.from_array(array, name) for name, array in _constants(work).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, card.to_metadata())
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _constants(work: int) -> dict[str, np.ndarray]:
    return {
        "axes_hw": np.asarray([1, 2]), "axis_1": np.asarray([1]), "axis_2": np.asarray([2]), "three": np.asarray([3]),
        "max": np.asarray(255.0, np.float32), "eight": np.asarray(8.0, np.float32),
        "ten": np.asarray(10.0, np.float32), "twenty": np.asarray(20.0, np.float32),
        "to_boxes": np.asarray([1, 3, 1], np.int64),
        "rounds": np.asarray(work), "yes": np.asarray(True), "seed": np.full((256, 256), 1 / 256, np.float32),
        "zero": np.asarray(0.0, np.float32),
    }  # fmt: skip


def _node(onnx: Any, op: str, inputs: str, outputs: str, **attributes: object) -> Any:
    return onnx.helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def _work_nodes(onnx: Any) -> list[Any]:
    """Return nodes that compute the mean of each channel, and `idle`, a zero that takes `rounds` multiplications."""
    node, value, kinds = partial(_node, onnx), onnx.helper.make_tensor_value_info, onnx.TensorProto
    body = onnx.helper.make_graph(
        [node("MatMul", "state seed", "next"), node("Identity", "go", "still")],
        "work",
        [value("i", kinds.INT64, []), value("go", kinds.BOOL, []), value("state", kinds.FLOAT, [256, 256])],
        [value("still", kinds.BOOL, []), value("next", kinds.FLOAT, [256, 256])],
    )
    return [
        node("Cast", "images", "pixels", to=kinds.FLOAT),
        node("ReduceMean", "pixels axes_hw", "means", keepdims=0),  # (B, 3)
        node("ReduceMean", "means", "start", keepdims=0),
        node("Add", "seed start", "initial"),
        node("Loop", "rounds yes initial", "final", body=body),
        node("ReduceMean", "final", "mean_final", keepdims=0),
        node("Mul", "mean_final zero", "idle"),
    ]


def _detection_nodes(onnx: Any) -> list[Any]:
    """Return nodes from the mean of each channel to detections and count."""
    node, kinds = partial(_node, onnx), onnx.TensorProto
    return [
        node("Div", "means max", "all_scores"),
        node("TopK", "all_scores three", "scores classes", axis=1),
        node("Split", "means", "red green blue", axis=1, num_outputs=3),
        node("Add", "red ten", "right"),
        node("Add", "iou_threshold distance_weight", "query"),
        node("Unsqueeze", "query axis_1", "query_1"),
        node("Add", "green twenty", "green_20"),
        node("Add", "green_20 query_1", "bottom"),
        node("Concat", "red green right bottom", "corners", axis=1),
        node("Div", "corners eight", "box"),
        node("Unsqueeze", "box axis_1", "box_1"),
        node("Tile", "box_1 to_boxes", "boxes"),  # (B, 3, 4)
        node("Add", "scores idle", "final_scores"),
        node("Unsqueeze", "final_scores axis_2", "scores_2"),
        node("Cast", "classes", "class_numbers", to=kinds.FLOAT),
        node("Unsqueeze", "class_numbers axis_2", "classes_2"),
        node("Concat", "boxes scores_2 classes_2", "rows", axis=2),
        node("Unsqueeze", "score_threshold axis_1", "threshold"),
        node("Greater", "final_scores threshold", "keep"),
        node("Cast", "keep", "keep_1", to=kinds.FLOAT),
        node("Unsqueeze", "keep_1 axis_2", "keep_2"),
        node("Mul", "rows keep_2", "detections"),
        node("ReduceSum", "keep_1 axis_1", "kept", keepdims=0),
        node("Cast", "kept", "count", to=kinds.INT32),
    ]
