"""`lineage models`: everything in the repository is listed or explained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineage.cli.main import main
from model_zoo.contract.card import Metric
from model_zoo.contract.package import Repository
from tests.tiny_onnx import toy_card


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Two models, one of two versions; the contents of the model files do not matter here."""
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


def test_the_table_has_a_row_for_every_version_and_every_data_set(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "--repository", str(repository.root)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    header, *rows = [line.split("  ") for line in captured.out.splitlines()]
    assert [cell.strip() for cell in header if cell] == [
        "model", "aliases", "family", "variant", "input", "precision", "params", "metrics",
    ]  # fmt: skip
    assert [row[0] for row in rows if row[0]] == ["bus@1", "car@1", "car@2"]
    text = captured.out.splitlines()
    assert "1,867,405" in text[1]
    assert "coco_mini val2017: AP 0.4489, AP50 0.6381" in text[1]
    assert text[2].strip() == "pets test: AP 0.5"
    assert "stable" in text[3]
    assert "latest" in text[4]
    assert "fp16" in text[4]


def test_json_says_the_same(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_damage_is_told_with_its_reason(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    (repository.root / "car/2/model.onnx").write_bytes(b"cut")
    (repository.root / "bus/aliases.json").write_text("{")
    assert main(["models", "--repository", str(repository.root)]) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["model", "bus@1", "car@1"]
    complaints = captured.err.splitlines()
    assert any("car@2" in line and "model.onnx is damaged" in line for line in complaints)
    assert any("bus" in line and "aliases.json" in line for line in complaints)


def test_an_empty_repository_says_how_to_fill_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--repository", str(tmp_path / "none")]) == 0
    assert "lineage import" in capsys.readouterr().out
    assert main(["models", "--repository", str(tmp_path / "none"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"models": [], "problems": []}
