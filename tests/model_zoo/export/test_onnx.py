"""Exported files follow the graph contract, are reproducible and accept every supported batch and size."""

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
from model_zoo.export.sessions import open_model
from model_zoo.export.synthetic_images import synthetic_images
from tests.exports import STRIDE, ExportedModel, export, feeds, tiny_detector


def axes(values: list[onnx.ValueInfoProto]) -> dict[str, tuple[int, list[object]]]:
    kinds = ((v.name, v.type.tensor_type) for v in values)
    return {name: (kind.elem_type, [d.dim_param or d.dim_value for d in kind.shape.dim]) for name, kind in kinds}


def test_inputs_and_outputs_follow_the_contract(tiny: ExportedModel) -> None:
    graph = tiny.end_to_end.graph
    floats, integers, pixels = onnx.TensorProto.FLOAT, onnx.TensorProto.INT32, onnx.TensorProto.UINT8
    assert axes(graph.input) == {
        "images": (pixels, ["batch", "height", "width", 3]),
        "score_threshold": (floats, ["batch"]),
        "iou_threshold": (floats, ["batch"]),
        "distance_weight": (floats, ["batch"]),
    }
    assert axes(graph.output) == {"detections": (floats, ["batch", 256, 6]), "count": (integers, ["batch"])}


def test_raw_form_ends_before_nms(tiny: ExportedModel) -> None:
    graph = tiny.raw.graph
    assert axes(graph.output) == {
        "boxes": (onnx.TensorProto.FLOAT, ["batch", "predictions", 4]),
        "scores": (onnx.TensorProto.FLOAT, ["batch", "predictions", 5]),
    }
    assert [v.name for v in graph.input] == ["images"]
    assert not {"TopK", "Loop"} & {node.op_type for node in graph.node}


def test_file_contains_its_card(tiny: ExportedModel) -> None:
    metadata = tiny.session().get_modelmeta().custom_metadata_map
    assert set(metadata) == {METADATA_KEY}
    assert ModelCard.from_metadata(metadata) == tiny.card
    assert tiny.end_to_end.producer_name == "yolo-lineage"


def test_file_contains_no_paths_of_the_machine(tiny: ExportedModel) -> None:
    content = tiny.path.read_bytes()
    for fragment in (b"site-packages", b".py", str(Path.home()).encode(), b"stack_trace", b"torch.nn"):
        assert fragment not in content


@pytest.mark.slow
def test_export_is_reproducible(tiny: ExportedModel, tmp_path: Path) -> None:
    again = export(tiny_detector(), tmp_path)
    assert again.path.read_bytes() == tiny.path.read_bytes()


def test_detections_do_not_depend_on_the_batch(tiny: ExportedModel) -> None:
    images, model = synthetic_images((96, 128), 8, seed=4), tiny.session()
    scores, ious, weights = np.linspace(0.05, 0.7, 8), np.linspace(0.2, 0.7, 8), np.linspace(0, 1, 8)
    together, counts = model.run(None, feeds(images, scores, ious, weights))
    assert counts.max() > 10
    for i in range(8):
        alone, count = model.run(None, feeds(images[i : i + 1], scores[i], ious[i], weights[i]))
        assert count[0] == counts[i]
        np.testing.assert_allclose(alone[0], together[i], atol=1e-4)


@pytest.mark.parametrize("size", [(STRIDE, STRIDE), (2 * STRIDE, 11 * STRIDE), (256, 256)])
def test_any_multiple_of_the_stride_is_accepted(tiny: ExportedModel, size: tuple[int, int]) -> None:
    """The smallest has 10 predictions for 256 candidates, the largest 2,560."""
    images = synthetic_images(size, 2)
    deployed = tiny.detector.deploy()
    with torch.no_grad():
        boxes, scores = deployed.forward_decoded(to_network(torch.from_numpy(images), deployed.input_spec))
    got_boxes, got_scores = open_model(tiny.raw).run(None, {"images": images})
    np.testing.assert_allclose(got_boxes, boxes, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(got_scores, scores, atol=1e-5)
    _, counts = tiny.session().run(None, feeds(images, score=0.02))
    assert (counts > 0).all()
    assert (counts <= got_boxes.shape[1]).all()


def test_fixed_axes_leave_no_shape_computation(tiny: ExportedModel, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    for axis, size in (("batch", 1), ("height", 128), ("width", 160)):
        options.add_free_dimension_override_by_name(axis, size)
    options.optimized_model_filepath = str(tmp_path / "static.onnx")
    options.log_severity_level = 3
    fixed = ort.InferenceSession(tiny.path, options, providers=["CPUExecutionProvider"])
    operators = {node.op_type for node in onnx.load(tmp_path / "static.onnx").graph.node}
    assert not operators & {"Shape", "Range", "Expand", "ConstantOfShape"}
    images = synthetic_images((128, 160), 1)
    for static, dynamic in zip(fixed.run(None, feeds(images)), tiny.session().run(None, feeds(images)), strict=True):
        np.testing.assert_allclose(static, dynamic, atol=1e-4)


def test_bgr_network_with_fixed_size_and_unscaled_pixels(tmp_path: Path) -> None:
    """The graph accepts RGB and swaps the channels itself."""
    spec = InputSpec((64, 96), color="BGR", scale=1.0, dynamic=False)
    detector = tiny_detector(spec)
    file = export(detector, tmp_path)
    assert axes(file.end_to_end.graph.input)["images"][1] == ["batch", 64, 96, 3]
    images = synthetic_images((64, 96), 2)
    planes = torch.from_numpy(images[..., ::-1].copy()).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        boxes, scores = detector.deploy().forward_decoded(planes)
    got_boxes, got_scores = open_model(file.raw).run(None, {"images": images})
    np.testing.assert_allclose(got_scores, scores, atol=1e-4)
    np.testing.assert_allclose(got_boxes, boxes, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("candidates", [100, 3968])
def test_invalid_candidate_limits_are_refused(candidates: int) -> None:
    detector = tiny_detector()
    with pytest.raises(ExportError, match=f"multiple of 64 up to 3840; got {candidates}"):
        trace(detector, build_export_card(detector, "tiny", candidates=candidates))


@pytest.mark.parametrize(("precision", "params"), [("fp32", 540_000_000), ("fp16", 1_060_000_000)])
def test_weights_beyond_the_file_limit_are_refused(precision: Precision, params: int) -> None:
    detector = tiny_detector()
    card = replace(build_export_card(detector, "tiny", precision=precision), params=params)
    with pytest.raises(
        ExportError, match=rf"at most 2\.11 GB.* its {params:,} parameters take 2\.1. GB in {precision}"
    ):
        trace(detector, card)


def test_low_thresholds_return_every_class(tiny: ExportedModel) -> None:
    """All classes of 20 predictions fit into the candidates, and an IoU threshold of 1 suppresses nothing."""
    images, below = synthetic_images((16, 32), 1), tiny.card.thresholds.multi_label_below
    _, scores = open_model(tiny.raw).run(None, {"images": images})
    _, low = tiny.session().run(None, feeds(images, score=below * 0.9, iou=1.0, weight=0.0))
    assert low[0] == (scores > below * 0.9).sum() > 20
    _, high = tiny.session().run(None, feeds(images, score=below, iou=1.0, weight=0.0))
    assert high[0] == (scores.max(axis=2) > below).sum() <= 20
