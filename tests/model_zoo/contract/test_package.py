from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository


def test_package_may_contain_other_files(repository: Repository, card: ModelCard, model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"more")
    package = repository.publish(card, {"model.onnx": model, "model.onnx.data": data})
    assert [f.name for f in package.files] == ["card.json", "model.onnx", "model.onnx.data"]
    (package.path / "model.onnx.data").write_bytes(b"MORE")
    with pytest.raises(PackageError, match=r"model\.onnx\.data is damaged"):
        package.verify()


def test_digest_depends_on_the_contents(repository: Repository, package: Package, card: ModelCard, model: Path) -> None:
    again = repository.publish(card, {"model.onnx": model})
    assert again.digest == package.digest
    assert again != package
    assert repository.publish(replace(card, params=1), {"model.onnx": model}).digest != package.digest
    model.write_bytes(b"other")
    assert repository.publish(card, {"model.onnx": model}).digest != package.digest


def test_packages_get_umask_permissions(package: Package) -> None:
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(package.path.stat().st_mode) == 0o777 & ~umask
    assert stat.S_IMODE(package.model_path.stat().st_mode) == 0o666 & ~umask
