"""`lineage models`: models of a repository, and architectures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lineage.cli.main import main
from model_zoo.contract.card import Metric, ParentWeights, WeightsOrigin
from model_zoo.contract.repository import Repository
from model_zoo.registry import variants
from tests.tiny_onnx import toy_card

PUBLIC_VARIANTS = [name for name in variants() if not name.endswith("-test")]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Two models, one with two versions. The model files are placeholders."""
    source = tmp_path / "some.onnx"
    source.write_bytes(b"graph")
    repository = Repository(tmp_path / "models")
    metrics = (
        Metric("AP", 0.4489, "coco_mini val2017", "2026-10-01"),
        Metric("AP50", 0.63812, "coco_mini val2017", "2026-10-01"),
        Metric("AP", 0.5, "pets test", "2026-10-01"),
    )
    for card in (
        toy_card("car"),
        toy_card("car", precision="fp16"),
        toy_card("bus", params=1867405, metrics=metrics),
    ):
        repository.publish(card, {"model.onnx": source})
    repository.set_alias("car", "stable", 1)
    return repository


def test_table_has_a_row_per_version_and_dataset(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--repository", str(repository.root)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    header, *rows = [line.split("  ") for line in captured.out.splitlines()]
    assert [cell.strip() for cell in header if cell] == [
        "model", "aliases", "family", "variant", "input", "precision", "params", "license", "metrics",
    ]  # fmt: skip
    assert [row[0] for row in rows if row[0]] == ["bus@1", "car@1", "car@2"]
    text = captured.out.splitlines()
    assert "1,867,405" in text[1]
    assert "coco_mini val2017: AP 0.4489, AP50 0.6381" in text[1]
    assert text[2].strip() == "pets test: AP 0.5"
    assert "stable" in text[3]
    assert "latest" in text[4]
    assert "fp16" in text[4]


def test_licenses_that_bind_are_warned_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, repository = tmp_path / "some.onnx", Repository(tmp_path / "models")
    source.write_bytes(b"graph")
    parents = (ParentWeights("yolov5n.pt", "0" * 64, "AGPL-3.0"), ParentWeights("mine.pt", "1" * 64, "MIT"))
    for name, weights in (
        ("free", WeightsOrigin("MIT", parents=())),
        ("tuned", WeightsOrigin("MIT", parents=parents)),
        ("official", WeightsOrigin("AGPL-3.0", parents=())),
        ("found", WeightsOrigin()),
    ):
        repository.publish(toy_card(name, weights=weights), {"model.onnx": source})
    assert main(["models", "--repository", str(repository.root), "--json"]) == 0
    captured = capsys.readouterr()
    [agpl, unknown] = sorted(captured.err.splitlines())
    assert "license AGPL-3.0 of official@1, tuned@1 (trained from yolov5n.pt): a product or network service" in agpl
    assert "license unknown of found@1: the owner may not permit your use" in unknown
    by_name = {model["name"]: model["weights"] for model in json.loads(captured.out)["models"]}
    assert by_name["tuned"]["parents"][0] == {"name": "yolov5n.pt", "sha256": "0" * 64, "license": "AGPL-3.0"}


def test_json_lists_models_and_aliases(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--repository", str(repository.root), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["problems"] == []
    assert [(m["name"], m["version"], m["aliases"]) for m in document["models"]] == [
        ("bus", 1, ["latest"]),
        ("car", 1, ["stable"]),
        ("car", 2, ["latest"]),
    ]
    assert document["models"][0]["metrics"][0]["value"] == 0.4489
    assert document["models"][0]["input_size"] == [64, 64]


def test_damaged_models_are_reported_with_the_reason(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository.root / "car/2/model.onnx").write_bytes(b"cut")
    (repository.root / "bus/aliases.json").write_text("{")
    assert main(["models", "--repository", str(repository.root)]) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["model", "bus@1", "car@1"]
    error_lines = captured.err.splitlines()
    assert any("car@2" in line and "model.onnx is damaged" in line for line in error_lines)
    assert any("bus" in line and "aliases.json" in line for line in error_lines)


def test_repository_of_broken_packages_is_not_called_empty(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in repository.root.glob("*/*/model.onnx"):
        path.unlink()
    assert main(["models", "--repository", str(repository.root)]) == 1
    captured = capsys.readouterr()
    assert captured.out == f"No usable model in {repository.root}: 3 problems.\n"
    assert captured.err.count("model.onnx is missing") == 3


def test_foreign_folders_are_no_problems(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("lost+found", "__MACOSX", "@eaDir", "car/2.bak"):
        (repository.root / name).mkdir()
    assert main(["models", "--repository", str(repository.root)]) == 0
    assert capsys.readouterr().err == ""


def test_folder_that_is_no_repository_is_explained(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "disk" / "lost+found").mkdir(parents=True)
    for path, message in (
        (tmp_path / "disk", "Skipped folders without a package: lost+found."),
        (repository.root / "car", f"is a model, not a model repository; did you mean {repository.root}?\n"),
        (repository.root / "car" / "1", f"is a package, not a model repository; did you mean {repository.root}?"),
    ):
        assert main(["models", "--repository", str(path)]) == 0
        assert message in capsys.readouterr().out
    assert main(["models", "--repository", str(tmp_path / "some.onnx")]) == 2
    assert "expected a folder; got a file" in capsys.readouterr().err


def test_empty_repository_suggests_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--repository", str(tmp_path / "none")]) == 0
    assert "lineage import" in capsys.readouterr().out
    assert main(["models", "--repository", str(tmp_path / "none"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"models": [], "rollouts": {}, "problems": []}


def test_architectures_are_listed_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--architectures"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["variant", "family", "input", "params", "GFLOPs", "weights", "published"]
    assert [row.split()[0] for row in rows] == PUBLIC_VARIANTS
    [nano] = [row for row in rows if row.startswith("yolov5n ")]
    assert re.split(r"  +", nano) == [
        "yolov5n", "yolov5", "640 x 640", "1,867,405", "4.47", "AGPL-3.0", "28.0 AP on COCO val2017 (README of v7.0)",
    ]  # fmt: skip


def test_architectures_are_listed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json", "--architectures"]) == 0
    entries = {entry["variant"]: entry for entry in json.loads(capsys.readouterr().out)["architectures"]}
    assert list(entries) == PUBLIC_VARIANTS
    assert entries["yolov3"] == {
        "variant": "yolov3",
        "family": "yolov3",
        "params": 61_922_845,
        "gflops": 140.69,
        "input_size": [608, 608],
        "published": {"value": 33.0, "measure": "AP", "dataset": "COCO test-dev", "source": "the paper"},
        "paper": "1804.02767",
        "weights": {
            "license": "LicenseRef-Darknet",
            "url": "https://pjreddie.com/media/files/yolov3.weights",
            "sha256": "523e4e69e1d015393a1b0a441cef1d9c7659e3eb2d7e15f793f060a21b32f297",
        },
    }
    assert entries["yolov1-paper"]["weights"] is None
    assert entries["yolov1-paper"]["published"]["value"] == 63.4
    assert entries["yolov3-voc"]["published"] is entries["yolov3-voc"]["weights"] is None


def test_architectures_of_a_repository_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--architectures", "--repository", str(tmp_path)]) == 2
    assert "expected without --repository" in capsys.readouterr().err
