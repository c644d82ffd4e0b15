"""Folder of a run: its name, its config as JSON, and its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from training.recipes import recipe_of
from training.run.run_folder import create_run_folder, recipe_document, weights_in


def test_existing_folders_are_never_reused(tmp_path: Path) -> None:
    names = [create_run_folder(tmp_path / "runs", "yolov5n").name for _ in range(3)]
    assert names == ["yolov5n", "yolov5n-2", "yolov5n-3"]


def test_unusable_folder_of_runs_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "absent")  # mkdir reports that it exists
    for runs in (tmp_path / "file", tmp_path / "file/below", tmp_path / "link"):
        with pytest.raises(LineageError, match=f"--runs: expected a folder, .*; got the file {runs}"):
            create_run_folder(runs, "yolov5n")


def test_recipe_is_strict_json() -> None:
    def fail(constant: str) -> None:
        raise AssertionError(constant)

    for variant in ("yolov1", "yolov5n", "yolov6n", "yolox-s"):
        document = recipe_document(recipe_of(variant))
        assert json.loads(json.dumps(document), parse_constant=fail) == document
        assert "criterion" not in document


def test_best_weights_are_preferred_to_the_last(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="expected a run with weights"):
        weights_in(tmp_path)
    (tmp_path / "last.safetensors").touch()
    assert weights_in(tmp_path).name == "last.safetensors"
    (tmp_path / "best.safetensors").touch()
    assert weights_in(tmp_path).name == "best.safetensors"
