"""Train, publish and serve a model: the running server reaches the AP of the evaluation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.server import Server
from tests.http_evaluation import average_precision_through_http
from training.data.open import open_dataset

IMAGES = {"train": 48, "val": 12}  # enough for an AP above zero after a minute


def lineage(*arguments: object) -> str:
    command = [sys.executable, "-m", "lineage", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def blood_cells(shared: Path, tmp_path: Path) -> Path:
    """A subset of BCCD."""
    source, target = shared / "data" / "bccd", tmp_path / "bccd"
    (target / "annotations").mkdir(parents=True)
    (target / "images").symlink_to(source / "images")
    for split, count in IMAGES.items():
        document = json.loads((source / "annotations" / f"{split}.json").read_text())
        document["images"] = document["images"][:count]
        kept = {image["id"] for image in document["images"]}
        document["annotations"] = [a for a in document["annotations"] if a["image_id"] in kept]
        (target / "annotations" / f"{split}.json").write_text(json.dumps(document))
    return target


@pytest.mark.slow
def test_trained_model_is_served_with_its_measured_ap(shared: Path, blood_cells: Path, tmp_path: Path) -> None:
    models, runs = tmp_path / "models", tmp_path / "runs"
    with Server(models, poll=0.2) as server:
        assert server.client.get("/health/ready").status_code == 503  # the repository is empty
        weights = shared / "weights" / "yolov5n.pt"
        lineage(
            "train", "--model", "yolov5n", "--data", blood_cells, "--weights", weights, "--runs", runs,
            "--name", "cells", "--epochs", 60, "--batch", 8, "--image-size", 160, "--workers", 0,
        )  # fmt: skip
        lineage("export", runs / "cells", "--name", "blood-cells", "--repository", models)
        server.wait_until_ready()
        through_http = average_precision_through_http(server.client, open_dataset(blood_cells), "blood-cells")
        shown = server.client.get("/models/blood-cells").json()
    evaluated = json.loads(
        lineage("evaluate", "blood-cells", "--repository", models, "--data", blood_cells, "--batch", 1, "--json")
    )["metrics"]["ap"]
    assert evaluated > 0.05  # a zero would make the equality meaningless
    assert through_http == pytest.approx(evaluated, abs=1e-6)
    assert shown["card"]["class_names"] == ["RBC", "WBC", "Platelets"]
    assert shown["card"]["metrics"][0]["value"] == pytest.approx(evaluated, abs=0.005)
    assert (runs / "cells" / "report.html").stat().st_size > 100_000
