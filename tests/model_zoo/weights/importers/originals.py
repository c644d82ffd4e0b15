"""Build checkpoints like those of the original programs: pickled modules under the original class names."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from model_zoo.detector import Detector
from model_zoo.registry import build
from model_zoo.weights import store
from model_zoo.weights.importers import load_checkpoint, yolov5

SILU = nn.SiLU()


class Originals:
    """Fakes of the original classes, importable only while a checkpoint is saved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        for name in ("models", "models.yolo", "models.common"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))

    def make(self, kind: str) -> nn.Module:
        """Return an empty module of the class `kind`, such as `models.common.Conv`."""
        module, name = kind.rsplit(".", 1)
        if not hasattr(sys.modules[module], name):
            setattr(sys.modules[module], name, type(name, (nn.Module,), {"__module__": module}))
        return getattr(sys.modules[module], name)()

    def network(self, state: dict[str, torch.Tensor], root: str) -> nn.Module:
        """Return a module tree with the tensors of a state dict."""
        tree = self.make(root)
        for key, value in state.items():
            *path, leaf = key.split(".")
            owner = tree
            for depth, part in enumerate(path):
                if part not in owner._modules:
                    owner.add_module(part, self._child(part, depth))
                owner = owner._modules[part]
            parameter = leaf in ("weight", "bias")
            owner._parameters.pop(leaf, None)
            if parameter:
                owner.register_parameter(leaf, nn.Parameter(value, requires_grad=False))
            else:
                owner.register_buffer(leaf, value)
        return tree

    def _child(self, part: str, depth: int) -> nn.Module:
        if part == "bn":
            return nn.BatchNorm2d(1, eps=1e-3, momentum=0.03)
        if depth == 0 or part == "m":
            return nn.Sequential()
        block = self.make("models.yolo.Detect" if part in ("24", "33") else "models.common.Conv")
        block.add_module("act", nn.SiLU())
        return block


def arrays(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in state.items()}


def original_state(detector: Detector) -> dict[str, torch.Tensor]:
    """Return weights under the original keys, in fp16 and with anchors in cells."""
    config = yolov5.VARIANTS[detector.variant]
    backbone = yolov5.FOCUS_BACKBONE if config.focus else yolov5.BACKBONE
    prefixes = {f"backbone.{stage}.": f"model.{i}." for i, stage in enumerate(backbone)}
    prefixes |= {f"neck.{stage}.": f"model.{i}." for i, stage in yolov5.NECK.items()}
    prefixes |= {"head.predict.": "model.24.m.", "head.anchors": "model.24.anchors"}
    state = {}
    for key, value in detector.state_dict().items():
        native = next(prefix for prefix in prefixes if key.startswith(prefix))
        name = prefixes[native] + re.sub(r"\bconv([123])\.", r"cv\1.", key.removeprefix(native)).replace(
            "blocks.", "m."
        )
        state[name] = value.half() if value.is_floating_point() else value
    state["model.24.anchors"] = (detector.head.anchors / torch.tensor([8.0, 16, 32])[:, None, None]).half()
    return state


def randomized(variant: str = "yolov5-test", num_classes: int = 2, seed: int = 0) -> Detector:
    """Return a detector with random weights and statistics. All are multiples of 1/1024, which fp16 represents."""
    torch.manual_seed(seed)
    detector = build(variant, num_classes)
    with torch.no_grad():
        for value in detector.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.randint(1, 1024, value.shape) / 1024)
    return detector.eval()


def network(
    originals: Originals,
    detector: Detector,
    version: str = "v7.0",
    names: object = None,
    *,
    activation: nn.Module = SILU,
) -> nn.Module:
    """Return the module that a version pickles."""
    state = original_state(detector)
    if version == "v5.0":  # absent in later versions
        state["model.24.anchor_grid"] = state["model.24.anchors"].view(3, 1, -1, 1, 1, 2)
    net = originals.network(state, "models.yolo.DetectionModel" if version == "v7.0" else "models.yolo.Model")
    net.stride = torch.tensor([8.0, 16.0, 32.0])
    net.names = names or list(detector.class_names)
    net.yaml = {"nc": len(detector.class_names), "anchors": 3, "backbone": [[-1, 1, "Conv", [64, 6, 2, 2]]]}
    net.model._modules["0"].act = activation
    return net


def assert_survives_saving(detector: Detector, folder: Path) -> None:
    """Save a detector as safetensors, load it like `lineage import`, and compare weights, options and outputs."""
    path = folder / "saved.safetensors"
    store.save(detector, path)
    loaded = load_checkpoint(path).detector
    for name in ("family", "variant", "class_names", "input_spec", "options"):
        assert getattr(loaded, name) == getattr(detector, name), name
    state = detector.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert [key for key, value in loaded.state_dict().items() if not torch.equal(value, state[key])] == []
    images = torch.rand(1, 3, *detector.input_spec.size)
    torch.testing.assert_close(loaded.forward_decoded(images), detector.forward_decoded(images), rtol=0, atol=0)


def checkpoint(version: str, model: object, ema: object = None) -> dict[str, Any]:
    """Return the dict that a version saves with a network."""
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.01, "params": [0]}]}
    common = {"epoch": 3, "best_fitness": np.array([0.5]), "model": model, "ema": ema, "updates": 7}
    extra: dict[str, dict[str, Any]] = {
        "v5.0": {"training_results": "0/2 1G 0.1", "optimizer": None, "wandb_id": None},
        "v6.0": {"optimizer": optimizer, "wandb_id": "abc", "date": "2021-10-12T00:00:00"},
        "v6.2": {"optimizer": optimizer, "opt": {"save_dir": Path("runs")}, "date": "2022-08-17T00:00:00"},
        "v7.0": {"optimizer": None, "opt": {"save_dir": Path("runs")}, "git": {"branch": "master"}, "date": "x"},
    }
    return {**common, **extra[version]}


def assert_equal_weights(actual: Detector, expected: Detector, anchor_tolerance: float = 0.0) -> None:
    """Compare all weights exactly, anchors within a tolerance in pixels."""
    state = expected.state_dict()
    assert actual.state_dict().keys() == state.keys()
    for key, value in actual.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=anchor_tolerance if "anchors" in key else 0)
