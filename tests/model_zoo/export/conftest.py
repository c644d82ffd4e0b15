"""A detector of a few layers: real blocks, a real head, traced in seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv
from model_zoo.contract.card import ModelCard
from model_zoo.detector import Detector, InputSpec
from model_zoo.export.card import build_export_card
from model_zoo.export.onnx import assemble, trace, write
from model_zoo.export.parity import session
from model_zoo.heads.anchor import AnchorHead

ANCHORS = (((10.0, 13.0), (16.0, 30.0)), ((30.0, 61.0), (62.0, 45.0)))
STRIDE = 16


class ToyBackbone(nn.Module):
    """Two maps, at strides 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down = Conv(3, 8, 8, 8, padding=0), Conv(8, 16, 3, 2)

    def forward(self, x: Tensor) -> list[Tensor]:
        c3 = self.stem(x)
        return [c3, self.down(c3)]


def toy(spec: InputSpec | None = None, classes: int = 5) -> Detector:
    """Random weights, and batch norms whose statistics are not those of a new one."""
    torch.manual_seed(0)
    head = AnchorHead([8, 16], classes, ANCHORS, strides=(8, STRIDE))
    names = [f"thing{i}" for i in range(classes)]
    detector = Detector("toy", "toy", ToyBackbone(), nn.Identity(), head, spec or InputSpec((128, 160)), names)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    for conv in head.predict:
        nn.init.normal_(conv.weight, std=1.5)
        nn.init.zeros_(conv.bias)
    return detector


@dataclass(frozen=True)
class Exported:
    """A detector, its card, both forms of its graph, the file of the whole."""

    detector: Detector
    card: ModelCard
    raw: onnx.ModelProto
    end_to_end: onnx.ModelProto
    path: Path

    def __post_init__(self) -> None:
        write(self.end_to_end, self.path)

    def session(self) -> ort.InferenceSession:
        return session(self.end_to_end)


def exported(detector: Detector, path: Path, **card_fields: object) -> Exported:
    card = replace(build_export_card(detector, "toy", candidates=256), **card_fields)
    traced = trace(detector.deploy(), card)
    raw, whole = (assemble(traced, replace(card, output=form)) for form in ("raw", "detections"))
    return Exported(detector, card, raw, whole, path)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of each test's own, so that plans are built and the user's are left alone."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LINEAGE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def toy_file(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The toy, in float32, any size."""
    return exported(toy(), tmp_path_factory.mktemp("toy") / "toy.onnx")


def feeds(images: np.ndarray, score: object = 0.3, iou: object = 0.45, weight: object = 1.0) -> dict[str, np.ndarray]:
    asked = {"score_threshold": score, "iou_threshold": iou, "distance_weight": weight}
    values = {name: np.broadcast_to(np.asarray(v, dtype=np.float32), len(images)) for name, v in asked.items()}
    return {"images": images, **values}
