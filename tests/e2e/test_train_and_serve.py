"""The whole way: train on real photos, publish, and the running server serves it, as good as it was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_zoo.contract.detections import Detections
from tests.conftest import ROOT
from tests.e2e.server import Server
from training.data.dataset import Dataset
from training.data.open import open_dataset
from training.evaluate import coco

PHOTOS = {"train": 48, "val": 12}  # enough to learn something in a minute


def lineage(*arguments: object) -> str:
    command = [sys.executable, "-m", "lineage", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def blood_cells(shared: Path, tmp_path: Path) -> Path:
    """A part of BCCD."""
    source, target = shared / "data" / "bccd", tmp_path / "bccd"
    (target / "annotations").mkdir(parents=True)
    (target / "images").symlink_to(source / "images")
    for split, count in PHOTOS.items():
        document = json.loads((source / "annotations" / f"{split}.json").read_text())
        document["images"] = document["images"][:count]
        kept = {image["id"] for image in document["images"]}
        document["annotations"] = [a for a in document["annotations"] if a["image_id"] in kept]
        (target / "annotations" / f"{split}.json").write_text(json.dumps(document))
    return target


def average_precision_through_http(server: Server, dataset: Dataset, model: str) -> float:
    """Ask for every photo what an evaluation asks, and score the answers."""
    records, found = dataset.split("val").records, list[Detections]()
    for record in records:
        query = {"model": model, "score": 0.001, "iou": 0.6, "nms": "iou"}
        answer = server.client.post("/detect", params=query, files={"file": record.path.read_bytes()})
        assert answer.status_code == 200, answer.text
        found.append(as_detections(answer.json()["results"][0]["detections"]))
    return coco.score(dataset, records, found).metrics.ap


def as_detections(listed: list[dict[str, Any]]) -> Detections:
    return Detections(
        np.asarray([d["box"] for d in listed], dtype=np.float64).reshape(-1, 4),
        np.asarray([d["score"] for d in listed], dtype=np.float64),
        np.asarray([d["class_id"] for d in listed], dtype=np.int64),
    )


@pytest.mark.slow
def test_what_was_trained_is_served_and_as_good_as_measured(shared: Path, blood_cells: Path, tmp_path: Path) -> None:
    models, runs = tmp_path / "models", tmp_path / "runs"
    with Server(models, poll=0.2) as server:
        assert server.client.get("/health/ready").status_code == 503  # nothing is there yet
        weights = shared / "weights" / "yolov5n.pt"
        lineage(
            "train", "--model", "yolov5n", "--data", blood_cells, "--weights", weights, "--runs", runs,
            "--name", "cells", "--epochs", 60, "--batch", 8, "--image-size", 160, "--workers", 0,
        )  # fmt: skip
        lineage("export", runs / "cells", "--name", "blood-cells", "--repository", models)
        server.wait_until_ready()
        through_http = average_precision_through_http(server, open_dataset(blood_cells), "blood-cells")
        shown = server.client.get("/models/blood-cells").json()
    evaluated = json.loads(
        lineage("evaluate", "blood-cells", "--repository", models, "--data", blood_cells, "--batch", 1, "--json")
    )["metrics"]["ap"]
    assert evaluated > 0.05  # it learned something, so that the equality says something
    assert through_http == pytest.approx(evaluated, abs=1e-6)
    assert shown["card"]["class_names"] == ["RBC", "WBC", "Platelets"]
    assert shown["card"]["metrics"][0]["value"] == pytest.approx(evaluated, abs=0.005)
    assert (runs / "cells" / "report.html").stat().st_size > 100_000
