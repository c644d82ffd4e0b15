"""The default repository: `./models`, else the bundled model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineage.cli.main import main
from service.inference.bundled import BUNDLED_REPOSITORY, DEFAULT_REPOSITORY, repository_of
from tests.service.conftest import SAMPLES


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_bundled_model_is_complete_small_and_free() -> None:
    [package], problems = BUNDLED_REPOSITORY.scan()
    package.verify()
    assert problems == []
    assert (package.name, package.version) == ("ui-elements", 1)
    assert sum(file.size for file in package.files) < 8_000_000
    assert package.card.weights.license == "Apache-2.0"
    assert {file.name for file in package.files} >= {"README.md", "DATA_CARD.md", "evaluation.json"}


def test_given_repository_comes_first_then_models_then_bundled(tmp_path: Path) -> None:
    assert repository_of(None) is BUNDLED_REPOSITORY
    (tmp_path / "models").mkdir()
    assert repository_of(None) is BUNDLED_REPOSITORY
    (tmp_path / "models" / "own" / "1").mkdir(parents=True)
    assert repository_of(None) is DEFAULT_REPOSITORY
    assert repository_of(tmp_path / "other").root == tmp_path / "other"


def test_models_lists_the_bundled_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [entry["name"] for entry in json.loads(out)["models"]] == ["ui-elements"]
    assert "the bundled model" in err


def test_detect_uses_the_bundled_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "photo.jpg", "--json"]) == 1  # there is no such file
    assert json.loads(capsys.readouterr().out)["model"] == {"name": "ui-elements", "version": 1}


def test_bundled_model_detects_elements_of_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(SAMPLES / "file-manager.jpg"), "--json"]) == 0
    [result] = json.loads(capsys.readouterr().out)["results"]
    assert {detection["label"] for detection in result["detections"]} >= {
        "button",
        "link",
        "icon",
        "table",
        "text_field",
    }


def test_given_repository_has_no_fallback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "photo.jpg", "--repository", "empty", "--model", "ui-elements"]) == 2
    assert "the model repository empty does not exist" in capsys.readouterr().err
