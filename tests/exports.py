"""Exported models that tests share. Each is exported once per test run, also if pytest-xdist runs several workers."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from lineage.cli.main import main
from model_zoo.blocks.conv import Conv
from model_zoo.contract.card import ModelCard
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.detector import Detector, InputSpec
from model_zoo.export.card import build_export_card
from model_zoo.export.nms_graph import THRESHOLD_INPUTS
from model_zoo.export.onnx import assemble, trace, write_onnx
from model_zoo.export.sessions import open_model
from model_zoo.heads.anchor import AnchorHead

ANCHORS = (((10.0, 13.0), (16.0, 30.0)), ((30.0, 61.0), (62.0, 45.0)))
STRIDE = 16


class TinyBackbone(nn.Module):
    """Two maps, at strides 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down = Conv(3, 8, 8, 8, padding=0), Conv(8, 16, 3, 2)

    def forward(self, x: Tensor) -> list[Tensor]:
        c3 = self.stem(x)
        return [c3, self.down(c3)]


@dataclass(frozen=True)
class ExportedModel:
    """A detector, its card, both forms of its graph, and the file of the end-to-end form."""

    detector: Detector
    card: ModelCard
    raw: onnx.ModelProto
    end_to_end: onnx.ModelProto
    path: Path

    def session(self) -> ort.InferenceSession:
        return open_model(self.end_to_end)


def tiny_detector(spec: InputSpec | None = None) -> Detector:
    """Return a detector with real blocks and a real head, seeded weights and non-trivial batch norm statistics."""
    torch.manual_seed(0)
    names = [f"class{i}" for i in range(5)]
    head = AnchorHead([8, 16], len(names), ANCHORS, strides=(8, STRIDE))
    detector = Detector("tiny", "tiny", TinyBackbone(), nn.Identity(), head, spec or InputSpec((128, 160)), names)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    for conv in head.predict:
        nn.init.normal_(conv.weight, std=1.5)
        nn.init.zeros_(conv.bias)
    return detector


def export(detector: Detector, folder: Path) -> ExportedModel:
    """Export both forms of a detector to a folder."""
    card = build_export_card(detector, "tiny", candidates=256)
    traced = trace(detector.deploy(), card)
    for output in ("raw", "detections"):
        write_onnx(assemble(traced, replace(card, output=output)), folder / f"{output}.onnx")
    return _read(detector, card, folder)


def tiny_export(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    """Return the exported tiny detector, float32 with a dynamic size."""
    folder = make_once(tmp_path_factory, "tiny-export", lambda folder: export(tiny_detector(), folder))
    detector = tiny_detector()
    return _read(detector, build_export_card(detector, "tiny", candidates=256), folder)


def official_yolov5n(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Package:
    """Return the package of the official yolov5n checkpoint, imported with `lineage import`."""
    weights = str(shared / "weights" / "yolov5n.pt")

    def run_import(folder: Path) -> None:
        assert main(["import", weights, "--name", "yolov5n", "--repository", str(folder)]) == 0

    return Repository(make_once(tmp_path_factory, "official-yolov5n", run_import)).resolve("yolov5n")


def make_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder filled by `make`, which runs once per test run. Other workers wait for it."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, part = root / name, root / f"{name}.part"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            make(part)
            part.rename(folder)
    return folder


def feeds(images: np.ndarray, score: object = 0.3, iou: object = 0.45, weight: object = 1.0) -> dict[str, np.ndarray]:
    """Return the inputs of an end-to-end graph, with thresholds for all images or one per image."""
    thresholds = (np.broadcast_to(np.asarray(value, dtype=np.float32), len(images)) for value in (score, iou, weight))
    return {"images": images, **dict(zip(THRESHOLD_INPUTS, thresholds, strict=True))}


def _read(detector: Detector, card: ModelCard, folder: Path) -> ExportedModel:
    raw, end_to_end = (onnx.load(folder / f"{output}.onnx") for output in ("raw", "detections"))
    return ExportedModel(detector, card, raw, end_to_end, folder / "detections.onnx")
