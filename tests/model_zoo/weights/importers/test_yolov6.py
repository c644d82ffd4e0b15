"""YOLOv6 state dicts of every release and pickled modules are imported, and mismatches described."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.registry import build, variants
from model_zoo.weights.importers import from_state_dict, load_checkpoint
from model_zoo.weights.importers.renaming import rename
from model_zoo.weights.importers.yolov6 import identify, rename_table
from tests.model_zoo.weights.importers.originals import (
    Originals,
    arrays,
    assert_equal_weights,
    assert_survives_saving,
    randomized,
)
from tests.model_zoo.weights.importers.yolov6_keys import original_state


def randomized_with_bins(variant: str, num_classes: int = 2) -> Detector:
    detector = randomized(variant, num_classes)
    if hasattr(detector.head, "bins"):
        detector.head.bins.copy_(torch.arange(17.0).repeat(2, 1))
    return detector


def known_original_keys() -> dict[str, tuple[str, ...]]:
    """Return known keys of variants without reference numbers."""
    return {
        "yolov6m": (
            "backbone.stem.rbr_dense.conv.weight",
            "backbone.ERBlock_4.1.m.conv1.conv2.rbr_identity.weight",
            "backbone.ERBlock_4.1.m.block.3.alpha",
            "backbone.ERBlock_5.2.cv2.bn.bias",
            "neck.Rep_n4.cv3.conv.weight",
        ),
        "yolov6l": (
            "backbone.stem.block.conv.bias",
            "backbone.ERBlock_4.1.m.block.7.conv1.block.conv.bias",
            "backbone.ERBlock_2.1.cv1.conv.weight",
            "neck.reduce_layer0.conv.weight",
        ),
        "yolov6l-v3": (
            "backbone.ERBlock_2.1.cv1.block.conv.weight",
            "backbone.ERBlock_5.2.sppf.cv1.block.conv.weight",
            "neck.reduce_layer0.block.conv.weight",
        ),
        "yolov6n6-v3": (
            "backbone.ERBlock_6.2.cspsppf.cv7.block.conv.weight",
            "neck.Bifusion2.downsample.block.bn.weight",
            "neck.Rep_n6.block.2.rbr_1x1.conv.weight",
            "detect.reg_preds.3.bias",
        ),
    }


@pytest.mark.parametrize("variant", known_original_keys())
def test_original_state_has_the_known_keys(variant: str) -> None:
    with torch.device("meta"):
        state = original_state(build(variant))
    assert set(known_original_keys()[variant]) <= set(state)


@pytest.mark.parametrize("variant", variants("yolov6"))
def test_every_variant_is_identified_and_every_key_renamed(variant: str) -> None:
    with torch.device("meta"):
        detector = build(variant, 3)
    state = original_state(detector)
    identification = identify(state)
    assert identification
    assert identification.variant == variant
    constants = {"detect.proj", "detect.proj_conv.weight"}
    assert rename(state, rename_table(state)).keys() - constants == detector.state_dict().keys() - {"head.bins"}


@pytest.mark.parametrize("variant", ["yolov6-test", "yolov6-v3-test"])
def test_all_weights_are_imported(variant: str) -> None:
    detector = randomized_with_bins(variant)
    assert_equal_weights(from_state_dict(variant, arrays(original_state(detector))), detector)


@torch.inference_mode()
def test_small_variant_may_have_distance_bins(tmp_path: Path) -> None:
    """The original program trains this form before distillation."""
    state = arrays(original_state(build("yolov6-test").eval().requires_grad_(False)))
    for level, channels in enumerate((8, 8, 16)):
        state[f"detect.reg_preds.{level}.weight"] = np.ones((68, channels, 1, 1), np.float32)
        state[f"detect.reg_preds.{level}.bias"] = np.ones(68, np.float32)
    detector = from_state_dict("yolov6-test", state)
    boxes, _ = detector.forward_decoded(torch.rand(1, 3, 64, 64))
    assert_survives_saving(detector, tmp_path)
    expected = torch.tensor([8.0] * 64 + [16.0] * 16 + [32.0] * 4) * 16  # 8 cells to each side
    torch.testing.assert_close(boxes[0, :, 2] - boxes[0, :, 0], expected)


def test_mismatching_state_dicts_are_described() -> None:
    state = arrays(original_state(randomized_with_bins("yolov6-test")))
    with pytest.raises(LineageError, match=r"Checkpoint does not match yolov6s .* Is it a different variant"):
        from_state_dict("yolov6s", state)
    with pytest.raises(LineageError, match=r"1 missing: head\.bins"):
        from_state_dict("yolov6-test", {key: value for key, value in state.items() if "proj" not in key})
    state["detect.reg_preds.0.bias"] = np.ones(20, np.float32)
    with pytest.raises(LineageError, match="expected 1 or 17 bins; got 5"):
        from_state_dict("yolov6-test", state)


def test_unpublished_sizes_are_described() -> None:
    state = arrays(original_state(randomized_with_bins("yolov6-test")))
    state["backbone.stem.rbr_dense.conv.weight"] = np.zeros((24, 3, 3, 3), np.float32)
    with pytest.raises(LineageError, match=r"published size of YOLOv6; got release 2\.0, RepVGG stem of 24 channels"):
        identify(state)
    del state["backbone.stem.rbr_dense.conv.weight"]
    with pytest.raises(LineageError, match="expected the training form of YOLOv6"):
        identify(state)
    assert identify({"head.cls_preds.0.bias": np.zeros(3)}) is None


# --- pickled modules -------------------------------------------------------------


class YOLOv6Originals(Originals):
    """Fakes of the original classes."""

    MODULES = ("yolov6", "yolov6.models", "yolov6.models.yolo", "yolov6.layers", "yolov6.layers.common")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        for name in self.MODULES:
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))

    def _child(self, part: str, depth: int) -> nn.Module:
        if part in ("bn", "rbr_identity"):
            return nn.BatchNorm2d(1, eps=1e-3, momentum=0.03)
        block = self.make("yolov6.layers.common.SimConv")
        block.add_module("act", nn.ReLU() if part != "stems" else nn.SiLU())
        return block


def test_pickled_modules_are_imported(tmp_path, monkeypatch) -> None:
    detector = randomized_with_bins("yolov6-test")
    originals = YOLOv6Originals(monkeypatch)
    net = originals.network(original_state(detector), "yolov6.models.yolo.Model").half()
    net.stride = torch.tensor([8.0, 16.0, 32.0])
    torch.save({"model": net, "ema": None, "updates": 7, "optimizer": None, "epoch": -1}, tmp_path / "weights.pt")
    for name in YOLOv6Originals.MODULES:
        monkeypatch.delitem(sys.modules, name)
    imported = load_checkpoint(tmp_path / "weights.pt")
    assert imported.variant == "yolov6-test"
    assert imported.notes[1] == "2 classes; the file has no names for them, so the default names are used: class0, ..."
    assert_equal_weights(imported.detector, detector)
