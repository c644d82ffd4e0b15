"""YOLOv5 state dicts keep their stem and anchors, and errors describe unpublished sizes."""

from __future__ import annotations

import pytest
import torch

from model_zoo.contract.errors import LineageError
from tests.model_zoo.weights.importers.originals import (
    assert_equal_weights,
    checkpoint,
    network,
    original_state,
    randomized,
)


def test_focus_stem_of_v5_0(load, originals):
    detector = randomized("yolov5s-focus", 2)
    imported = load(checkpoint("v5.0", network(originals, detector, "v5.0")))
    assert imported.variant == "yolov5s-focus"
    assert "Focus stem of 32 channels" in imported.notes[0]
    assert_equal_weights(imported.detector, detector, 0.1)


def test_anchors_of_the_file_are_kept(load):
    state = original_state(randomized())
    state["model.24.anchors"] = torch.arange(1, 19).view(3, 3, 2) / 8
    anchors = load(state).detector.head.anchors
    assert anchors[0, 0].tolist() == [1.0, 2.0]
    assert anchors[2, 2].tolist() == [17 * 4.0, 18 * 4.0]


def test_unpublished_size_is_described(load):
    state = original_state(randomized())
    state["model.2.m.1.cv1.conv.weight"] = torch.zeros(1)
    with pytest.raises(LineageError, match="got 6x6 stem of 8 channels, 2 bottlenecks in c2, head at 24"):
        load(state)


@pytest.mark.parametrize("key", ["model.0.conv.weight", "model.24.anchors", "model.24.m.0.bias"])
def test_scalar_tensors_are_refused(load, key):
    state = original_state(randomized())
    state[key] = torch.tensor(1.0)
    with pytest.raises(LineageError, match="expected"):
        load(state)
