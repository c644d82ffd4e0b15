"""`lineage models verify` checks files and golden images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineage.cli.main import main
from model_zoo.contract.manifest import EXPECTED
from model_zoo.contract.repository import Repository
from model_zoo.golden import write_golden
from tests.tiny_onnx import toy_card, toy_onnx

pytest.importorskip("onnx")


@pytest.fixture
def models(tmp_path: Path) -> Repository:
    """A repository with a version without golden images, one with right ones and one with wrong ones."""
    model = tmp_path / "toy.onnx"
    model.write_bytes(toy_onnx(toy_card()))
    files = write_golden(model, toy_card(), tmp_path)
    repository = Repository(tmp_path / "models")
    repository.publish(toy_card(), {"model.onnx": model})
    repository.publish(toy_card(), {"model.onnx": model, **files})
    document = json.loads(files[EXPECTED].read_text())
    for row in document["cases"][0]["detections"]:
        row[4] /= 2
    files[EXPECTED].write_text(json.dumps(document))
    repository.publish(toy_card(), {"model.onnx": model, **files})
    return repository


def test_right_models_are_listed(models: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    models.remove("toy", 3)
    assert main(["models", "verify", "--repository", str(models.root)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "toy@1: 2 files intact, no golden images on cpu",
        "toy@2: 6 files intact, 3 golden images agree on cpu",
        "all agree",
    ]


def test_wrong_model_fails(models: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify", "toy@3", "--repository", str(models.root)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("failed: toy@3: golden image 1.png on ")


def test_damaged_model_fails(models: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    models.remove("toy", 3)
    (models.root / "toy" / "2" / "golden" / "2.png").unlink()
    assert main(["models", "verify", "--repository", str(models.root)]) == 1
    assert "failed: toy@2: golden/2.png is missing; publish the model again" in capsys.readouterr().out


def test_unknown_model_is_named(models: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify", "cars", "--repository", str(models.root)]) == 2
    assert "no model 'cars'" in capsys.readouterr().err
