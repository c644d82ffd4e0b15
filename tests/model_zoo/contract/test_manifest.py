"""The manifest: damaged packages and invalid file names are refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository

Damage = Callable[[Path], object]


def _edit(folder: Path, change: Callable[[dict], object]) -> None:
    document = json.loads((folder / "manifest.json").read_text())
    change(document)
    (folder / "manifest.json").write_text(json.dumps(document))


def _to_link(path: Path, target: Path) -> None:
    shutil.move(path, target)
    path.symlink_to(target)


def _replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _swap_card(folder: Path) -> None:
    """Replace the package by a valid one of another model."""
    other = Repository(folder.parents[1]).publish(
        replace(ModelCard.read(folder / "card.json"), name="other"), {"model.onnx": folder / "model.onnx"}
    )
    shutil.rmtree(folder)
    shutil.move(other.path, folder)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no manifest": (lambda p: (p / "manifest.json").unlink(), "manifest.json is missing"),
    "no model": (lambda p: (p / "model.onnx").unlink(), "model.onnx is missing"),
    "no card": (lambda p: (p / "card.json").unlink(), "card.json is missing"),
    "cut model": (lambda p: os.truncate(p / "model.onnx", 5), "model.onnx is damaged: expected 7000 bytes; got 5"),
    "other card": (
        lambda p: (p / "card.json").write_text((p / "card.json").read_text().replace("yolov5n", "yolov5s")),
        "card.json is damaged: expected sha256",
    ),
    "card of another model": (_swap_card, "expected a card of 'tiny'; got one of 'other'"),
    "cut manifest": (lambda p: os.truncate(p / "manifest.json", 30), "manifest.json: expected a JSON document"),
    "manifest of bytes": (lambda p: (p / "manifest.json").write_bytes(b"\xff"), "manifest.json: "),
    "manifest of another schema": (lambda p: _edit(p, lambda d: d.update(schema_version=2)), "schema_version 1; got 2"),
    "manifest with more": (lambda p: _edit(p, lambda d: d.update(x=1)), "manifest.json: x: unknown field"),
    "file twice": (lambda p: _edit(p, lambda d: d["files"].append(d["files"][0])), "expected distinct files"),
    "unlisted model": (lambda p: _edit(p, lambda d: d["files"].pop()), "include model.onnx and card.json"),
    "climbing name": (lambda p: _edit(p, lambda d: d["files"][0].update(name="../card.json")), "got '../card.json'"),
    "absolute name": (lambda p: _edit(p, lambda d: d["files"][0].update(name="/etc/passwd")), "got '/etc/passwd'"),
    "wrong kind of sha256": (lambda p: _edit(p, lambda d: d["files"][0].update(sha256="AB")), "each sha256 as 64"),
    "size of another type": (
        lambda p: _edit(p, lambda d: d["files"][0].update(size="7")),
        "files[0].size: expected an integer",
    ),
    "model outside": (lambda p: _to_link(p / "model.onnx", p.parent / "away"), "link to a path outside the package"),
    "card outside": (lambda p: _to_link(p / "card.json", p.parent / "away"), "link to a path outside the package"),
    "manifest outside": (lambda p: _to_link(p / "manifest.json", p.parent / "away"), "outside the package"),
    "package outside": (lambda p: _to_link(p, p.parents[2] / "away"), "link to a path outside the repository"),
    "model that never ends": (lambda p: _replace_by_fifo(p / "model.onnx"), "model.onnx is not a regular file"),
    "card that never ends": (lambda p: _replace_by_fifo(p / "card.json"), "card.json is not a regular file"),
    "empty folder": (lambda p: (shutil.rmtree(p), p.mkdir()), "manifest.json is missing"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damaged_package_is_refused_with_the_reason(repository: Repository, package: Package, case: str) -> None:
    damage, expected = DAMAGES[case]
    damage(package.path)
    with pytest.raises(PackageError) as caught:
        repository.resolve("tiny@1")
    assert str(caught.value).startswith("tiny@1: ")
    assert expected in str(caught.value)
    packages, (problem,) = repository.scan()
    assert packages == []
    assert (problem.name, problem.version, problem.reason) == ("tiny", 1, str(caught.value))


def test_verify_detects_a_changed_byte(repository: Repository, package: Package) -> None:
    with open(package.model_path, "r+b") as file:
        file.seek(3500)
        file.write(b"!")
    with pytest.raises(PackageError, match=r"^tiny@1: model\.onnx is damaged: expected sha256 \w+; got \w+; publish"):
        repository.resolve("tiny").verify()


@pytest.mark.parametrize(
    "name",
    [
        "../model.onnx",
        "a/b",
        "golden/a/b",
        "golden/../x",
        "golden/",
        "golden/1.png",
        ".hidden",
        "card.json",
        "manifest.json",
        "",
    ],
)
def test_only_plain_file_names_are_accepted(repository: Repository, card: ModelCard, model: Path, name: str) -> None:
    with pytest.raises(PackageError, match="expected"):
        repository.publish(card, {"model.onnx": model, name: model})
    assert repository.scan() == ([], [])


def test_package_without_a_model_is_refused(repository: Repository, card: ModelCard, model: Path) -> None:
    with pytest.raises(PackageError, match=r"include model\.onnx and card\.json"):
        repository.publish(card, {"weights.onnx": model})
