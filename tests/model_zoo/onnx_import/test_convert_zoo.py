"""Networks of this project, wrapped in the layouts of other programs: real graphs of real sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper

from model_zoo.contract.select import NMSThresholds, select
from model_zoo.convert import export_random
from model_zoo.export.options import ExportOptions
from model_zoo.export.sessions import open_model
from model_zoo.export.synthetic_images import synthetic_images
from model_zoo.onnx_import.convert import convert
from model_zoo.onnx_import.options import OnnxOptions, Request

SIDE = 128
# v6 is v5 with an objectness of 1
LAYOUTS = {"yolov5n": "v5", "yolov6n": "v6", "yolov7-tiny": "v8", "yolox-nano": "yolox"}
Node = tuple[str, str, str, dict[str, object]]


def wrap(raw: ModelProto, layout: str) -> ModelProto:
    """Return a raw export with a float32 input (1, 3, H, W) and another output layout."""
    for value in (*raw.graph.input, *raw.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    constants = {
        "scale": np.float32(1 if layout == "yolox" else 255), "one": np.float32(1), "half": np.float32(0.5),
        "order": np.asarray([2, 1, 0] if layout == "yolox" else [0, 1, 2]), "axis": np.asarray([2]),
        "four": np.asarray([2, 2]),
    }  # fmt: skip
    first: list[Node] = [
        ("Mul", "pixels scale", "scaled", {}), ("Round", "scaled", "rounded", {}),
        ("Gather", "rounded order", "swapped", {"axis": 1}), ("Transpose", "swapped", "last", {"perm": [0, 2, 3, 1]}),
        ("Cast", "last", "images", {"to": TensorProto.UINT8}),
    ]  # fmt: skip
    last: list[Node] = [
        ("Split", "boxes four", "low high", {"axis": 2}), ("Add", "low high", "sum", {}),
        ("Mul", "sum half", "center", {}), ("Sub", "high low", "side", {}),
        ("ReduceMax", "scores axis", "best", {"keepdims": 1}),
        ("Div", "best best" if layout == "v6" else "best one", "objectness", {}),
        ("Div", "scores one" if layout == "v6" else "scores best", "shares", {}),
        ("Concat", "center side scores" if layout == "v8" else "center side objectness shares", "rows", {"axis": 2}),
        ("Transpose", "rows", "output", {"perm": [0, 2, 1] if layout == "v8" else [0, 1, 2]}),
    ]  # fmt: skip
    before, after = (
        [
            helper.make_node(op, inputs.split(), outputs.split(), **attributes)
            for op, inputs, outputs, attributes in nodes
        ]
        for nodes in (first, last)
    )
    graph = helper.make_graph(
        [*before, *raw.graph.node, *after],
        "wrapped",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [*raw.graph.initializer, *(numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items())],
    )
    model = helper.make_model(graph, opset_imports=raw.opset_import, ir_version=raw.ir_version)
    return onnx.shape_inference.infer_shapes(model)  # outputs need shapes


@pytest.mark.slow
@pytest.mark.parametrize("variant", LAYOUTS)
def test_detections_of_real_networks_equal_those_of_their_raw_export(variant: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    export_random(variant, tmp_path / "raw.onnx", ExportOptions(image_size=(SIDE,)), raw=True)
    raw = onnx.load(tmp_path / "raw.onnx")
    (tmp_path / "net.onnx").write_bytes(wrap(raw, LAYOUTS[variant]).SerializeToString())
    facts = OnnxOptions("v8" if LAYOUTS[variant] == "v8" else None)  # with anchors, it might be v5 transposed
    converted = convert(tmp_path / "net.onnx", Request("net", facts), tmp_path)
    assert converted.card.variant == LAYOUTS[variant].replace("v6", "v5")
    original, session = open_model(raw), open_model(onnx.load(converted.files["model.onnx"]))
    for image in synthetic_images((SIDE, SIDE), 3, seed=5):
        boxes, scores = original.run(None, {"images": image[None]})
        threshold = float(np.sort(scores[0].max(axis=1))[-40])
        values = (np.asarray([value], dtype=np.float32) for value in (threshold, 0.5, 1.0))
        feeds = dict(zip(("score_threshold", "iou_threshold", "distance_weight"), values, strict=True))
        rows, count = session.run(None, {"images": image[None], **feeds})
        below = converted.card.thresholds.multi_label_below
        expected = select(boxes[0], scores[0], NMSThresholds(threshold, 0.5, 1.0), below)
        assert count[0] == len(expected)
        np.testing.assert_allclose(rows[0, : count[0]], expected, rtol=1e-4, atol=1e-2)
