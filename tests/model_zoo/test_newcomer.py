"""A new generation takes one file and one import line: it is listed, built, deployed, exported and served."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from starlette.testclient import TestClient

from lineage.cli.main import main
from model_zoo import registry
from model_zoo.contract.select import NMSThresholds, select
from model_zoo.detector import Detector, to_network
from model_zoo.export.synthetic_images import synthetic_images
from model_zoo.weights import store
from service.app import create_app
from service.settings import Settings

Image = NDArray[Any]
SCORE = 0.4
PAGE = '''
"""YOLOv9000 (made up): one map, a block with its own gain, and its own head."""

import torch
from torch import nn
from torch.nn.functional import softplus

from model_zoo.blocks.conv import Conv
from model_zoo.detector import Detector, Head, InputSpec
from model_zoo.registry import Family, register

FAMILY = Family("yolov9000", year=2022, summary="YOLOv9000 (made up).", changes="Changes since YOLOX: none.")
STRIDE = 8


class Gained(nn.Module):
    """Convolve, weigh every channel by a learned gain, mix the channels."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv = Conv(in_channels, out_channels, 3, 2)
        self.gain = nn.Parameter(torch.rand(out_channels, 1, 1) + 0.5)
        self.mix = nn.Conv2d(out_channels, out_channels, 1)

    def forward(self, x):
        return self.mix(self.gain * self.conv(x))

    def fuse(self):
        self.mix.weight = nn.Parameter(self.mix.weight * self.gain, requires_grad=False)
        return nn.Sequential(self.conv, self.mix)


class DiamondHead(Head):
    """Four distances from the cell's corner and a score per class."""

    def __init__(self, channels, num_classes):
        super().__init__()
        self.strides, self.num_classes = (STRIDE,), num_classes
        self.predict = nn.Conv2d(channels, 4 + num_classes, 1)

    def forward(self, x):
        return [self.predict(x)]

    def planes(self, maps):
        return [maps[0].unsqueeze(1)]

    def priors(self, maps):
        height, width = maps[0].shape[2:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        return STRIDE * torch.stack([x, y], dim=-1).flatten(0, 1).float()

    def ranking(self, rows, dim=-1):
        return rows.narrow(dim, 4, self.num_classes).amax(dim)

    def locate(self, raw, priors):
        distances = STRIDE * softplus(raw)
        return torch.cat([priors - distances[..., :2], priors + distances[..., 2:]], dim=-1)

    def score(self, raw):
        return raw.sigmoid()


@register(FAMILY, ("yolov9000-toy",), class_names=("ant", "bee", "cat"))
def yolov9000(variant, class_names):
    backbone = nn.Sequential(Gained(3, 8), Gained(8, 16), Gained(16, 16))
    head = DiamondHead(16, len(class_names))
    return Detector("yolov9000", variant, backbone, nn.Identity(), head, InputSpec((64, 96)), class_names)
'''


@pytest.fixture
def new_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Import the new file, as a line in `model_zoo/families/__init__.py` would."""
    (tmp_path / "yolov9000.py").write_text(PAGE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_VARIANTS", dict(registry._entries()))  # restored afterwards
    monkeypatch.delitem(sys.modules, "yolov9000", raising=False)
    importlib.import_module("yolov9000")
    return "yolov9000-toy"


def test_new_generation_works_from_registry_to_server(
    new_variant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    detector = registry.build(new_variant).eval()
    deployed = detector.deploy()
    x = torch.rand(2, 3, 64, 96)
    torch.testing.assert_close(deployed.forward_decoded(x), detector.forward_decoded(x), atol=1e-4, rtol=1e-4)
    trained_params, deployed_params = (sum(p.numel() for p in model.parameters()) for model in (detector, deployed))
    assert deployed_params < trained_params

    assert main(["models", "--architectures", "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)["architectures"][-1]
    assert (entry["variant"], entry["family"]) == (new_variant, "yolov9000")
    assert (entry["input_size"], entry["params"]) == ([64, 96], deployed_params)

    weights, models = tmp_path / "mine.safetensors", tmp_path / "models"
    store.save(detector, weights)
    assert main(["import", str(weights), "--repository", str(models)]) == 0
    assert "published mine@1" in capsys.readouterr().out

    [image] = synthetic_images((64, 96), 1)
    expected = detect_with_torch(detector, image)
    assert len(expected) > 10
    detections = detect_over_http(models, image, score=SCORE)
    assert {d["label"] for d in detections} <= {"ant", "bee", "cat"}
    rows = np.array([[*d["box"], d["score"], d["class_id"]] for d in detections])
    differences = np.abs(rows[:, None] - expected).max(axis=2)  # equal scores have no fixed order
    assert sorted(differences.argmin(axis=1)) == list(range(len(expected)))
    assert differences.min(axis=1).max() < 2e-3


def detect_with_torch(detector: Detector, image: Image) -> Image:
    with torch.no_grad():
        x = to_network(torch.from_numpy(image[None]), detector.input_spec)
        boxes, scores = (t[0].numpy() for t in detector.forward_decoded(x))
    rows = select(boxes, scores, NMSThresholds(SCORE, 0.45, 1.0), 0.0)
    rows[:, :4] = rows[:, :4].clip(0, (96, 64, 96, 64))
    return rows


def detect_over_http(models: Path, image: Image, **query: object) -> list[dict[str, Any]]:
    png = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    with TestClient(create_app(Settings(repository=models))) as client:
        deadline = time.monotonic() + 60
        while client.get("/health/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        response = client.post("/detect", params={"model": "mine", **query}, files={"file": ("a.png", png)})
    assert response.status_code == 200, response.text
    [result] = response.json()["results"]
    return list(result["detections"])
