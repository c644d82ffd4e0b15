"""Errors list the keys that do not match."""

from __future__ import annotations

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.weights.importers import from_state_dict
from tests.model_zoo.weights.importers.originals import arrays, original_state, randomized


def test_missing_and_unknown_keys_are_listed():
    state = arrays(original_state(randomized()))
    del state["model.1.bn.bias"]
    state["model.99.weight"] = np.zeros(1)
    with pytest.raises(LineageError, match=r"1 missing: backbone\.down2\.bn\.bias; 1 unknown: model\.99\.weight"):
        from_state_dict("yolov5-test", state)


@pytest.mark.parametrize("key", ["model.24.m.0.bias", "model.24.anchors"])
def test_missing_head_keys_are_refused(key):
    state = {k: v.numpy() for k, v in original_state(randomized()).items() if k != key}
    with pytest.raises(LineageError, match=f"1 missing: {key}"):
        from_state_dict("yolov5-test", state)


def test_num_batches_tracked_may_be_missing():
    detector = randomized()
    state = {k: v.numpy() for k, v in original_state(detector).items() if "num_batches" not in k}
    assert from_state_dict("yolov5-test", state).variant == "yolov5-test"
