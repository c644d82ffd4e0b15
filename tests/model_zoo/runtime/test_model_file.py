"""ONNX files outside a repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.runtime.base import blank_feeds
from model_zoo.runtime.model_file import open_model_file
from model_zoo.runtime.open import open_engine


def test_model_file_is_a_package_of_its_card(toy: Package) -> None:
    package = open_model_file(toy.model_path)
    assert (package.card, package.model_path, package.version) == (toy.card, toy.model_path, 0)
    assert package.reference == str(toy.model_path)


def test_model_file_runs_in_an_engine(toy: Package) -> None:
    engine = open_engine(open_model_file(toy.model_path))
    rows, counts = engine.run(blank_feeds((64, 64), 1))
    assert (rows.shape, counts.shape) == ((1, 3, 6), (1,))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"none\.onnx: no such file; expected an ONNX file"):
        open_model_file(tmp_path / "none.onnx")
