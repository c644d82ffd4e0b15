"""YOLOX state dicts of the original program and of MMDetection are imported."""

from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.registry import build
from model_zoo.weights.importers import from_state_dict, load_checkpoint
from model_zoo.weights.importers.yolox import identify
from tests.model_zoo.weights.importers.originals import assert_equal_weights, assert_survives_saving
from tests.model_zoo.weights.importers.yolox_keys import mmdet_state, original_key, original_state


def randomized(variant: str, num_classes: int = 2) -> Detector:
    torch.manual_seed(0)
    detector = build(variant, num_classes)
    with torch.no_grad():
        for value in detector.state_dict().values():
            value.copy_(torch.rand(value.shape) * 8 if value.is_floating_point() else torch.tensor(7))
    return detector.eval()


@pytest.mark.parametrize("mmdet", [False, True], ids=["original", "mmdetection"])
@pytest.mark.parametrize("variant", ["yolox-nano", "yolox-tiny", "yolox-m", "yolox-test"])
def test_both_layouts_are_identified_and_imported(variant: str, mmdet: bool) -> None:
    detector = randomized(variant)
    state = mmdet_state(original_state(detector)) if mmdet else original_state(detector)
    identification = identify(state)
    assert identification
    assert identification.variant == variant
    assert ("MMDetection" in identification.reason) == mmdet
    imported = from_state_dict(variant, state)
    assert imported.class_names == ("class0", "class1")
    assert_equal_weights(imported, detector)


@torch.inference_mode()
def test_mmdetection_rounding_survives_saving(tmp_path: Path) -> None:
    detector = from_state_dict("yolox-test", mmdet_state(original_state(build("yolox-test").eval())))
    assert detector.input_spec.letterbox.rounding == "round"
    assert_survives_saving(detector, tmp_path)


def test_original_keys_with_a_card_are_identified(tmp_path: Path) -> None:
    detector = randomized("yolox-test")
    path = tmp_path / "original.safetensors"
    save_file({key: torch.from_numpy(value) for key, value in original_state(detector).items()}, path)
    card = {"variant": "yolox-test", "class_names": ["ant", "bee"], "input_size": [320, 320]}
    path.with_name(f"{path.name}.json").write_text(json.dumps(card))
    imported = load_checkpoint(path)
    assert (imported.class_names, imported.detector.input_spec.size) == (("ant", "bee"), (320, 320))
    assert_equal_weights(imported.detector, detector)


@pytest.mark.parametrize(("variant", "shape"), [("yolox-l", (64, 3)), ("yolox-x", (80, 4))])
def test_large_variants_are_identified_by_width_and_depth(variant: str, shape: tuple[int, int]) -> None:
    blocks = (f"backbone.backbone.dark2.1.m.{i}.conv1.conv.weight" for i in range(shape[1]))
    state = dict.fromkeys(["head.cls_preds.0.bias", *blocks], np.zeros(1))
    state["backbone.backbone.stem.conv.conv.weight"] = np.zeros((shape[0], 12, 3, 3))
    assert identify(state).variant == variant


def test_mmdetection_rounds_resized_images() -> None:
    state = original_state(randomized("yolox-test"))
    assert from_state_dict("yolox-test", state).input_spec.letterbox.rounding == "floor"
    spec = from_state_dict("yolox-test", mmdet_state(state)).input_spec
    assert (spec.letterbox.align, spec.letterbox.rounding, spec.letterbox.fill) == ("top_left", "round", 114)
    assert (spec.color, spec.scale) == ("BGR", 1.0)


def darknet53_modules() -> list[str]:
    """List the convolutions of the original network on Darknet-53, in its order."""
    backbone = ["stem.0", "stem.1", *residuals("stem", 2, 1)]
    for stage, count in ((2, 2), (3, 8), (4, 8), (5, 4)):
        backbone += [f"dark{stage}.0", *residuals(f"dark{stage}", 1, count)]
    backbone += ["dark5.5", "dark5.6", "dark5.7.conv1", "dark5.7.conv2", "dark5.8", "dark5.9"]
    sets = [["out1_cbl", *(f"out1.{i}" for i in range(5))], ["out2_cbl", *(f"out2.{i}" for i in range(5))]]
    return [*(f"backbone.backbone.{name}" for name in backbone), *(f"backbone.{name}" for name in chain(*sets))]


def residuals(stage: str, first: int, count: int) -> list[str]:
    return [f"{stage}.{first + i}.{layer}" for i in range(count) for layer in ("layer1", "layer2")]


def test_darknet53_variant() -> None:
    """Both orders of modules match, except that the neck's set is part of the original backbone's last stage."""
    detector = build("yolox-darknet53", 2)
    native = [key for key in detector.state_dict() if not key.startswith("head.")]
    modules = list(dict.fromkeys(re.sub(r"\.(conv\.weight|bn\.\w+)$", "", key) for key in native))
    originals = dict(zip(modules, darknet53_modules(), strict=True))
    state = {original_key(k): v.numpy() for k, v in detector.state_dict().items() if k.startswith("head.")}
    for number, key in enumerate(native):
        module = next(m for m in modules if key.startswith((f"{m}.conv.", f"{m}.bn.")))
        shape = detector.state_dict()[key].shape
        state[originals[module] + key.removeprefix(module)] = np.broadcast_to(np.float32(number), shape)
    assert identify(state).variant == "yolox-darknet53"
    renamed = from_state_dict("yolox-darknet53", state).state_dict()
    assert [key for number, key in enumerate(native) if bool((renamed[key] != number).any())] == []


def test_checkpoint_of_the_original_program(tmp_path: Path) -> None:
    detector = randomized("yolox-test")
    state = {original_key(key): value for key, value in detector.state_dict().items()}
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.01, "params": [0]}]}
    content = {"start_epoch": 300, "model": state, "optimizer": optimizer}
    torch.save({**content, "best_ap": np.float64(0.405), "curr_ap": 0.4}, tmp_path / "yolox.pth")
    imported = load_checkpoint(tmp_path / "yolox.pth")
    assert imported.variant == "yolox-test"
    assert imported.notes[0].startswith("yolox-test: Focus stem of 4 channels, 1 bottlenecks in c2, depthwise 3x3")
    assert "weights loaded from 'model'" in imported.notes
    assert_equal_weights(imported.detector, detector)


def test_unpublished_size_is_refused() -> None:
    state = original_state(randomized("yolox-test"))
    state["backbone.backbone.stem.conv.conv.weight"] = np.zeros((5, 12, 3, 3), np.float32)
    with pytest.raises(LineageError, match="got Focus stem of 5 channels"):
        identify(state)


def test_other_families_are_not_identified() -> None:
    assert identify({"model.0.conv.weight": np.zeros(1)}) is None
    assert identify({"head.cls_preds.0.bias": np.zeros(2)}) is None


def test_mismatching_variant_is_refused() -> None:
    state = original_state(randomized("yolox-test"))
    with pytest.raises(LineageError, match=r"Checkpoint does not match yolox-s .*dconv"):
        from_state_dict("yolox-s", state)
    with pytest.raises(LineageError, match=r"1 missing: head\.cls_preds\.0\.bias"):
        from_state_dict("yolox-test", {})
