"""YOLOv7 state dicts of both forms and pickled modules are imported."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.registry import build
from model_zoo.weights.importers import from_state_dict, load_checkpoint
from model_zoo.weights.importers.yolov7 import HEAD_INDICES, identify, original_layers
from tests.model_zoo.weights.importers.originals import (
    Originals,
    arrays,
    assert_equal_weights,
    assert_survives_saving,
    checkpoint,
    randomized,
)
from tests.model_zoo.weights.importers.yolov7_keys import original_state


def deployment_state(detector: Detector) -> dict[str, torch.Tensor]:
    """Return the state dict of the deployment form: fused implicit knowledge, no auxiliary layers, lower head index."""
    lead = randomized(detector.variant, detector.head.num_classes)
    lead.load_state_dict(detector.state_dict())
    for i, conv in enumerate(lead.head.predict):
        lead.head.predict[i] = conv.fuse()
    if hasattr(lead.head, "auxiliary"):
        lead.head.fuse()
    return original_state(lead)


@pytest.mark.parametrize("variant", HEAD_INDICES)
def test_prediction_layer_has_the_original_index_in_both_forms(variant: str) -> None:
    with torch.device("meta"):
        detector = build(variant)
    training, deployment = HEAD_INDICES[variant]
    assert len(original_layers(detector)) == training
    if hasattr(detector.head, "auxiliary"):
        detector.head.fuse()
    assert len(original_layers(detector)) == deployment


def test_maps_of_auxiliary_heads_have_the_original_indices() -> None:
    with torch.device("meta"):
        layers = original_layers(build("yolov7-w6"))
    assert [layers[i] for i in (83, 71, 59, 47)] == [
        *("neck.up3.join", "neck.up4.join", "neck.up5.join", "backbone.pyramid"),
    ]
    assert [layers[i] for i in (114, 117, 118, 121)] == [
        *("neck.out3", "neck.out6", "head.auxiliary.0.0", "head.auxiliary.3.0"),
    ]


@pytest.mark.parametrize("variant", ["yolov7-tiny", "yolov7-test", "yolov7-p6-test"])
def test_training_form_is_imported(variant: str) -> None:
    detector = randomized(variant, 2)
    state = arrays(original_state(detector))
    identification = identify(state)
    assert identification
    assert identification.variant == variant
    assert f"training form, prediction at {HEAD_INDICES[variant][0]}" in identification.reason
    assert_equal_weights(from_state_dict(variant, state), detector, 1e-4)


@pytest.mark.parametrize("variant", ["yolov7-test", "yolov7-p6-test"])
@torch.inference_mode()
def test_deployment_form_gives_the_same_predictions(variant: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = build(variant, 2).eval()
    state = arrays(deployment_state(detector))
    assert not any(re.search(r"\.(ia|im|m2)\.", key) for key in state)
    assert f"{identify(state)}".startswith(f"{variant}: deployment form, prediction at {HEAD_INDICES[variant][1]}")
    imported = from_state_dict(variant, state)
    assert_survives_saving(imported, tmp_path)
    x = torch.rand(1, 3, 64, 128)
    imported.head.train()
    assert len(imported(x)) == len(detector.head.strides)
    torch.testing.assert_close(imported.forward_decoded(x), detector.forward_decoded(x), rtol=1e-4, atol=1e-3)


def test_unpublished_size_is_described() -> None:
    state = arrays(original_state(randomized("yolov7-test", 2)))
    with pytest.raises(LineageError, match=r"Checkpoint does not match yolov7x .* Is it a different variant"):
        from_state_dict("yolov7x", state)
    state["model.0.conv.weight"] = np.zeros((5, 3, 3, 3), np.float32)
    with pytest.raises(LineageError, match=r"got training form, prediction at 105, first .* of 5 channels"):
        identify(state)


def test_missing_prediction_layer_is_refused() -> None:
    state = {k: v for k, v in arrays(original_state(randomized("yolov7-test", 2))).items() if "anchors" not in k}
    assert identify(state) is None
    with pytest.raises(LineageError, match=r"1 missing: model\.105\.anchors"):
        from_state_dict("yolov7-test", state)


def test_incomplete_implicit_knowledge_is_refused() -> None:
    state = {k: v for k, v in arrays(original_state(randomized("yolov7-test", 2))).items() if ".im." not in k}
    with pytest.raises(LineageError, match=r"3 missing: head\.predict\.0\.multiply"):
        from_state_dict("yolov7-test", state)


# --- pickled modules -------------------------------------------------------------


class YOLOv7Originals(Originals):
    """Fakes of the original classes, whose modules have the names of YOLOv5's."""

    def _child(self, part: str, depth: int) -> nn.Module:
        if part in ("ia", "im", "m2"):
            return nn.ModuleList()
        if depth == 1 and part in ("105", "100"):
            return self.make("models.yolo.IDetect" if part == "105" else "models.yolo.IAuxDetect")
        return super()._child(part, depth)


@pytest.mark.parametrize("variant", ["yolov7-test", "yolov7-p6-test"])
def test_pickled_modules_are_imported(variant: str, tmp_path, monkeypatch) -> None:
    detector = randomized(variant, 2)
    originals = YOLOv7Originals(monkeypatch)
    net = originals.network(original_state(detector), "models.yolo.Model").half()
    net.stride, net.names = torch.tensor([float(s) for s in detector.head.strides]), ["ant", "bee"]
    torch.save(checkpoint("v5.0", net), tmp_path / "weights.pt")
    for name in ("models", "models.yolo", "models.common"):
        monkeypatch.delitem(sys.modules, name)
    imported = load_checkpoint(tmp_path / "weights.pt")
    assert (imported.variant, imported.class_names) == (variant, ("ant", "bee"))
    assert_equal_weights(imported.detector, detector, 1e-4)
