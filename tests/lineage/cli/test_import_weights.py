from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli.main import main
from model_zoo.contract.package import Repository
from model_zoo.registry import build
from model_zoo.weights import store


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    store.save(build("yolov5-test", 2).eval(), path)
    return path


def test_weights_are_published_with_options(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--repository", str(tmp_path / "models"), "--name", "mine", "--image-size", "64", "--license", "MIT"]
    assert main(["import", str(weights), *flags]) == 0
    out = capsys.readouterr().out
    assert "published mine@1" in out
    assert f"serve it: lineage serve --repository {tmp_path / 'models'}" in out
    card = Repository(tmp_path / "models").resolve("mine").card
    assert (card.input_size, card.weights.license, card.weights.origin) == ((64, 64), "MIT", "tiny.safetensors")


def test_explain_publishes_nothing(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(weights), "--explain", "--repository", str(tmp_path / "models")]) == 0
    assert "family yolov5, variant yolov5-test" in capsys.readouterr().out
    assert not (tmp_path / "models").exists()


def test_missing_file_is_a_user_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(tmp_path / "none.pt")]) == 2
    assert "none.pt" in capsys.readouterr().err
