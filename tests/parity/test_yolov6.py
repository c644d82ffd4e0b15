"""YOLOv6 in training: the original joins levels, applies the sigmoid to classes, and returns training branches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.families.yolov6_v3 import ANCHORS
from model_zoo.heads.efficient import EfficientHead
from model_zoo.weights.importers.yolov6 import identify
from tests.parity.conftest import Reference

FAMILY = "yolov6"


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


@pytest.fixture
def maps(imported: Detector, reference: Reference) -> list[Tensor]:
    """Return the raw maps of the training form, with batch normalization in evaluation mode."""
    imported.head.training = True  # the head only, not its modules
    maps = imported(reference.images)
    imported.head.training = False
    return maps


def test_training_outputs_match_the_original(reference: Reference, imported: Detector, maps: list[Tensor]) -> None:
    if isinstance(imported.head, EfficientHead):
        outputs = to_original_outputs(reference.name, imported.head, maps)
    else:
        outputs = [raw.permute(0, 2, 3, 1)[:, None] for raw in maps]
    assert len(outputs) == len(reference.maps())
    for index, actual in enumerate(outputs):
        expected, tolerance = reference.outputs[f"train_like/{index}"], reference.tolerance(f"train_like/{index}")
        np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def test_decode_of_the_reference_rows(reference: Reference, imported: Detector, maps: list[Tensor]) -> None:
    if isinstance(imported.head, EfficientHead):
        classes, boxes = (reference.maps()[index] for index in lead(reference.name))
        rows = torch.cat([boxes, classes.double().logit().float()], dim=2)
    else:
        rows = torch.cat([raw.flatten(1, 3) for raw in reference.maps()], dim=1)
    boxes, scores = imported.head.decode(rows, imported.head.priors(maps))
    expected_boxes, expected_scores = reference.boxes_and_scores()
    np.testing.assert_allclose(boxes[0], expected_boxes, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(scores[0], expected_scores, rtol=0, atol=1e-6)


def test_variant_is_identified(reference: Reference) -> None:
    identified = identify(reference.state)
    assert identified
    assert identified.variant == reference.name


def lead(name: str) -> tuple[int, int]:
    """Return the indices of the lead's classes and boxes in the outputs of the original."""
    return (2, 3) if name.endswith("-fuseab") else (0, 2) if name.endswith("-distill") else (0, 1)


def to_original_outputs(name: str, head: EfficientHead, maps: list[Tensor]) -> list[Tensor]:
    """Convert raw maps to the outputs of the original, in its order."""
    boxes, classes = head.rows(maps).tensor_split([head.box_numbers], dim=2)
    added = maps[len(head.strides) :]
    if name.endswith("-fuseab"):
        levels = [by_anchor(*level) for level in zip(added, ANCHORS, head.strides, strict=True)]
        return [*(torch.cat(part, dim=1) for part in zip(*levels, strict=True)), classes.sigmoid(), boxes]
    distilled = [torch.cat([raw.flatten(2) for raw in added], dim=2).transpose(1, 2)] if added else []
    return [classes.sigmoid(), *distilled, boxes]


def by_anchor(raw: Tensor, anchors: tuple[tuple[float, float], ...], stride: int) -> tuple[Tensor, Tensor]:
    """Return classes and boxes of a map, anchor by anchor, with sizes in cells and raw centers."""
    sizes = torch.tensor(anchors)[None, :, None, :] / stride
    split = raw.tensor_split([4 * len(anchors)], dim=1)
    boxes, classes = (part.unflatten(1, (len(anchors), -1)).flatten(3).transpose(2, 3) for part in split)
    boxes = torch.cat([boxes[..., :2], (2 * boxes[..., 2:].sigmoid()) ** 2 * sizes], dim=-1)
    return classes.sigmoid().flatten(1, 2), boxes.flatten(1, 2)
