"""Models found by name, by default, and in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.find import find_model
from model_zoo.contract.errors import PackageError, PackageNotFound
from model_zoo.contract.repository import Repository
from tests.tiny_onnx import toy_card, toy_onnx


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """`models` in the current folder, with the model toy of the file toy.onnx."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.onnx").write_bytes(toy_onnx(toy_card()))
    models = Repository("models")
    models.publish(toy_card(), {"model.onnx": "toy.onnx"})
    return models


def test_only_model_is_the_default(repository: Repository) -> None:
    for reference in (None, "toy", "toy@1", "toy@latest"):
        assert find_model(reference, None).reference == find_model(reference, repository.root).reference == "toy@1"


def test_file_needs_no_repository(repository: Repository) -> None:
    assert find_model("toy.onnx", None).model_path == Path("toy.onnx")


def test_one_of_several_models_must_be_named(repository: Repository) -> None:
    repository.publish(toy_card("other"), {"model.onnx": "toy.onnx"})
    with pytest.raises(PackageNotFound, match="expected the name of one of the models in models: other, toy"):
        find_model(None, None)
    assert find_model("other", None).name == "other"


def test_missing_model_and_run_are_explained(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(PackageNotFound, match="did you mean toy"):
        find_model("tyo", None)
    with pytest.raises(PackageNotFound, match="the model repository none does not exist"):
        find_model(None, Path("none"))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "best.safetensors").touch()
    with pytest.raises(PackageError, match="this is a training run; publish it with `lineage export runs --name NAME`"):
        find_model("runs", None)
