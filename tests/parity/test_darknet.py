"""The Darknet lineage compared with numbers of the original programs, from the `.weights` file to NMS."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from model_zoo.contract.boxes import cxcywh_to_xyxy
from model_zoo.contract.nms import nms
from model_zoo.detector import Detector
from tests.parity import darknet_reference
from tests.parity.darknet_reference import (
    ABSENT,
    BOXES,
    RAW,
    SCORES,
    Array,
    Reference,
    assert_same_boxes,
    darknet_layout,
    our_layout,
    references,
)

NMS_KINDS = {"nms_sort": 0.0, "diounms_b10": 1.0}  # distance_weight of each
LARGE_FILE = 100_000_000  # floats; files of this size (YOLOv1) take many seconds to write and read
RUNS = [pytest.param(r, id=str(r), marks=[pytest.mark.slow] * (r.floats > LARGE_FILE)) for r in references()]


@pytest.fixture(scope="module", params=RUNS or [ABSENT])
def run(request: pytest.FixtureRequest) -> Reference:
    """Runs are sorted by network, so that only one network is in memory at a time."""
    if request.param.program == request.param.programs[0]:
        darknet_reference.imported.cache_clear()
    return request.param


@pytest.fixture(scope="module")
def detector(run: Reference) -> Detector:
    return run.detector


@pytest.fixture(scope="module")
def raw_maps(run: Reference, detector: Detector) -> list[Tensor]:
    with torch.inference_mode():
        return detector(run.images)


def test_raw_maps(run: Reference, raw_maps: list[Tensor]) -> None:
    maps_by_shape = {raw.shape: raw for raw in map(darknet_layout, raw_maps)}
    assert len(run.maps) == len(raw_maps) == len(maps_by_shape)
    for reference_maps in run.maps.values():
        np.testing.assert_allclose(maps_by_shape[reference_maps.shape], reference_maps, rtol=0, atol=RAW)


def test_deployed_maps(run: Reference, detector: Detector, raw_maps: list[Tensor]) -> None:
    with torch.inference_mode():
        deployed = detector.deploy()(run.images)
    for actual, raw in zip(deployed, raw_maps, strict=True):
        torch.testing.assert_close(actual, raw, rtol=0, atol=RAW)


def test_boxes_and_scores_of_the_reference_maps(run: Reference, detector: Detector, raw_maps: list[Tensor]) -> None:
    reference_maps = {raw.shape: raw for raw in run.maps.values()}
    maps = [our_layout(reference_maps[darknet_layout(raw).shape], raw) for raw in raw_maps]
    assert_same_boxes(run, detector.head, maps, BOXES)


def test_boxes_and_scores_of_the_image(run: Reference, detector: Detector, raw_maps: list[Tensor]) -> None:
    assert_same_boxes(run, detector.head, raw_maps, SCORES * min(run.images.shape[2:]))


def test_nms_of_the_reference_boxes(run: Reference) -> None:
    kinds = [kind for kind in NMS_KINDS if f"nms.{kind}" in run]
    assert "nms_sort" in kinds
    relative = cxcywh_to_xyxy(run["boxes"][:, :4])  # as in Darknet: distances in pixels differ if the sides do
    for kind in kinds:
        kept = suppressed(relative, run["boxes"][:, 4], run["boxes"][:, 5:], NMS_KINDS[kind])
        np.testing.assert_array_equal(kept, run[f"nms.{kind}"], err_msg=kind)


def suppressed(boxes: Array, objectness: Array, scores: Array, distance_weight: float) -> Array:
    """Return the scores (n, C), with 0 for suppressed boxes. Every class of a box is a candidate."""
    box_ids, class_ids = np.nonzero(scores * (objectness[:, None] > 0))
    keep = nms(boxes[box_ids], scores[box_ids, class_ids], class_ids, 0.45, distance_weight)
    result = np.zeros_like(scores)
    result[box_ids[keep], class_ids[keep]] = scores[box_ids[keep], class_ids[keep]]
    return result
