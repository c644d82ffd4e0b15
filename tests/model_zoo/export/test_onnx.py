"""The exported file: its contract, its independence of machine and batch, and its sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from model_zoo.contract.card import METADATA_KEY, ModelCard, Precision
from model_zoo.detector import InputSpec, to_network
from model_zoo.export.card import build_export_card
from model_zoo.export.errors import ExportError
from model_zoo.export.onnx import trace
from model_zoo.export.parity import pictures, session
from tests.model_zoo.export.conftest import STRIDE, Exported, exported, feeds, toy


def axes(values: list[onnx.ValueInfoProto]) -> dict[str, tuple[int, list[object]]]:
    kinds = ((v.name, v.type.tensor_type) for v in values)
    return {name: (kind.elem_type, [d.dim_param or d.dim_value for d in kind.shape.dim]) for name, kind in kinds}


def test_inputs_and_outputs_are_those_of_the_contract(toy_file: Exported) -> None:
    graph = toy_file.end_to_end.graph
    floats, whole, pixels = onnx.TensorProto.FLOAT, onnx.TensorProto.INT32, onnx.TensorProto.UINT8
    assert axes(graph.input) == {
        "images": (pixels, ["batch", "height", "width", 3]),
        "score_threshold": (floats, ["batch"]),
        "iou_threshold": (floats, ["batch"]),
        "distance_weight": (floats, ["batch"]),
    }
    assert axes(graph.output) == {"detections": (floats, ["batch", 256, 6]), "count": (whole, ["batch"])}


def test_the_raw_form_stops_before_nms(toy_file: Exported) -> None:
    graph = toy_file.raw.graph
    assert axes(graph.output) == {
        "boxes": (onnx.TensorProto.FLOAT, ["batch", "predictions", 4]),
        "scores": (onnx.TensorProto.FLOAT, ["batch", "predictions", 5]),
    }
    assert [v.name for v in graph.input] == ["images"]
    assert not {"TopK", "Loop"} & {node.op_type for node in graph.node}


def test_the_file_carries_its_card(toy_file: Exported) -> None:
    metadata = toy_file.session().get_modelmeta().custom_metadata_map
    assert set(metadata) == {METADATA_KEY}
    assert ModelCard.from_metadata(metadata) == toy_file.card
    assert toy_file.end_to_end.producer_name == "yolo-lineage"


def test_nothing_of_the_machine_is_in_the_file(toy_file: Exported) -> None:
    content = toy_file.path.read_bytes()
    for trace_of_it in (b"site-packages", b".py", str(Path.home()).encode(), b"stack_trace", b"torch.nn"):
        assert trace_of_it not in content


def test_the_same_weights_give_the_same_bytes(toy_file: Exported, tmp_path: Path) -> None:
    again = exported(toy(), tmp_path / "again.onnx")
    assert again.path.read_bytes() == toy_file.path.read_bytes()


def test_an_image_is_answered_alone_as_in_a_batch(toy_file: Exported) -> None:
    images, model = pictures((96, 128), 8, seed=4), toy_file.session()
    scores, ious, weights = np.linspace(0.05, 0.7, 8), np.linspace(0.2, 0.7, 8), np.linspace(0, 1, 8)
    together, counts = model.run(None, feeds(images, scores, ious, weights))
    assert counts.max() > 10
    for i in range(8):
        alone, count = model.run(None, feeds(images[i : i + 1], scores[i], ious[i], weights[i]))
        assert count[0] == counts[i]
        np.testing.assert_allclose(alone[0], together[i], atol=1e-4)


@pytest.mark.parametrize("size", [(STRIDE, STRIDE), (2 * STRIDE, 11 * STRIDE), (256, 256)])
def test_any_multiple_of_the_stride_is_taken(toy_file: Exported, size: tuple[int, int]) -> None:
    """The smallest has 10 predictions for 256 candidates, the largest 2,560."""
    images = pictures(size, 2)
    deployed = toy_file.detector.deploy()
    with torch.no_grad():
        boxes, scores = deployed.forward_decoded(to_network(torch.from_numpy(images), deployed.input_spec))
    got_boxes, got_scores = session(toy_file.raw).run(None, {"images": images})
    np.testing.assert_allclose(got_boxes, boxes, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(got_scores, scores, atol=1e-5)
    _, counts = toy_file.session().run(None, feeds(images, score=0.02))
    assert (counts > 0).all()
    assert (counts <= got_boxes.shape[1]).all()


def test_named_axes_can_be_fixed_and_leave_no_shapes_to_compute(toy_file: Exported, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    for axis, size in (("batch", 1), ("height", 128), ("width", 160)):
        options.add_free_dimension_override_by_name(axis, size)
    options.optimized_model_filepath = str(tmp_path / "static.onnx")
    options.log_severity_level = 3
    fixed = ort.InferenceSession(toy_file.path, options, providers=["CPUExecutionProvider"])
    left = {node.op_type for node in onnx.load(tmp_path / "static.onnx").graph.node}
    assert not left & {"Shape", "Range", "Expand", "ConstantOfShape"}
    images = pictures((128, 160), 1)
    for fast, free in zip(fixed.run(None, feeds(images)), toy_file.session().run(None, feeds(images)), strict=True):
        np.testing.assert_allclose(fast, free, atol=1e-4)


def test_a_network_of_blue_first_pixels_in_0_to_255(tmp_path: Path) -> None:
    """The graph takes RGB and swaps by itself; this network's size is fixed, too."""
    spec = InputSpec((64, 96), color="BGR", scale=1.0, dynamic=False)
    detector = toy(spec)
    file = exported(detector, tmp_path / "bgr.onnx")
    assert axes(file.end_to_end.graph.input)["images"][1] == ["batch", 64, 96, 3]
    images = pictures((64, 96), 2)
    planes = torch.from_numpy(images[..., ::-1].copy()).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        boxes, scores = detector.deploy().forward_decoded(planes)
    got_boxes, got_scores = session(file.raw).run(None, {"images": images})
    np.testing.assert_allclose(got_scores, scores, atol=1e-4)
    np.testing.assert_allclose(got_boxes, boxes, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("candidates", [100, 3968])
def test_candidates_come_in_blocks_up_to_a_limit(candidates: int) -> None:
    detector = toy()
    with pytest.raises(ExportError, match=f"multiple of 128 up to 3840; got {candidates}"):
        trace(detector, build_export_card(detector, "toy", candidates=candidates))


@pytest.mark.parametrize(("precision", "params"), [("fp32", 540_000_000), ("fp16", 1_060_000_000)])
def test_what_one_file_cannot_hold_is_refused_before_it_is_traced(precision: Precision, params: int) -> None:
    detector = toy()
    card = replace(build_export_card(detector, "toy", precision=precision), params=params)
    with pytest.raises(
        ExportError, match=rf"at most 2\.11 GB.* its {params:,} parameters take 2\.1. GB in {precision}"
    ):
        trace(detector, card)


def test_below_the_cards_score_every_class_counts(toy_file: Exported) -> None:
    """An image of 20 predictions has room for all classes of each; nothing is suppressed above an IoU of 1."""
    images, below = pictures((16, 32), 1), toy_file.card.thresholds.multi_label_below
    _, scores = session(toy_file.raw).run(None, {"images": images})
    _, low = toy_file.session().run(None, feeds(images, score=below * 0.9, iou=1.0, weight=0.0))
    assert low[0] == (scores > below * 0.9).sum() > 20
    _, high = toy_file.session().run(None, feeds(images, score=below, iou=1.0, weight=0.0))
    assert high[0] == (scores.max(axis=2) > below).sum() <= 20
