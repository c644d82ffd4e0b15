"""YOLOv5, X, v6 and v7 compared with numbers of the original programs, stage by stage."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model_zoo import registry
from model_zoo.contract.nms import nms
from model_zoo.profile import profile


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


@pytest.fixture
def comparable(imported, reference):
    """Skip references with another form of training output, which the test of the family covers."""
    if [m.shape for m in imported(reference.images)] != [m.shape for m in reference.maps()]:
        pytest.skip("the original returns processed maps in training")


def test_every_reference_has_a_variant(shared):
    folders = [path.parent.name for path in (shared / "parity").glob("*/keys.json")]
    built = [name for name in folders if name.startswith(registry.families())]
    assert len(built) >= 3
    assert set(built) <= set(registry.variants())


@pytest.mark.usefixtures("comparable")
def test_raw_maps(reference, imported):
    for i, (actual, expected) in enumerate(zip(imported(reference.images), reference.maps(), strict=True)):
        torch.testing.assert_close(actual, expected, rtol=0, atol=reference.tolerance(f"train_like/{i}"))


@pytest.mark.usefixtures("comparable")
def test_decode_of_the_reference_maps(reference, imported):
    head, maps = imported.head, reference.maps()
    boxes, scores = head.decode(head.rows(maps), head.priors(maps))
    expected_boxes, expected_scores = reference.boxes_and_scores()
    np.testing.assert_allclose(boxes[0], expected_boxes, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(scores[0], expected_scores, rtol=0, atol=1e-6)


def test_forward_decoded(reference, imported):
    _assert_decoded(imported.forward_decoded(reference.images), reference, "decoded")


def test_deployed(reference, imported):
    output = "decoded_fused" if "decoded_fused" in reference.outputs else "decoded"
    _assert_decoded(imported.deploy().forward_decoded(reference.images), reference, output)


def test_selected_rows_decode_alike(reference, imported):
    head, maps = imported.head, imported(reference.images)
    rows, priors = head.rows(maps), head.priors(maps)
    best = head.ranking(rows)[0].topk(20).indices
    boxes, scores = head.decode(rows, priors)
    selected_boxes, selected_scores = head.decode(rows[:, best], priors[best])
    torch.testing.assert_close(selected_boxes, boxes[:, best], rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(selected_scores, scores[:, best], rtol=1e-6, atol=1e-7)


def test_nms_of_the_reference_rows(reference):
    threshold, iou = reference.nms_thresholds()
    boxes, scores = reference.boxes_and_scores()
    objectness, best, class_ids = reference.outputs["decoded"][0, :, 4], scores.max(axis=1), scores.argmax(axis=1)
    rows = np.flatnonzero((objectness > threshold) & (best > threshold))
    kept = rows[nms(boxes[rows], best[rows], class_ids[rows], iou, distance_weight=0)[:300]]
    actual = np.concatenate([boxes[kept], best[kept, None], class_ids[kept, None]], axis=1)
    np.testing.assert_allclose(actual, reference.outputs["nms"], rtol=0, atol=1e-3)


def test_parameters_and_gflops(reference, imported):
    gflops, size = reference.meta["gflops"], tuple(reference.meta["gflops"]["input"])
    training, deployed = profile(imported, size), profile(imported.deploy(), size)
    assert training.params == reference.meta["params"]
    assert training.gflops == pytest.approx(gflops["conv_2mac"], abs=6e-4)
    assert deployed.gflops == pytest.approx(gflops["conv_2mac_fused"], abs=6e-4)


def _assert_decoded(actual, reference, output):
    boxes, scores = actual
    expected_boxes, expected_scores = reference.boxes_and_scores(output)
    tolerance = reference.tolerance("decoded")
    np.testing.assert_allclose(boxes[0], expected_boxes, rtol=0, atol=tolerance)
    np.testing.assert_allclose(scores[0], expected_scores, rtol=0, atol=min(tolerance, 1e-4))
