from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lineage.cli.main import main
from tests.tiny_onnx import toy_card, toy_onnx
from tests.training.write_data import write_data


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An ONNX file whose classes are those of the dataset."""
    path = tmp_path / "toy.onnx"
    path.write_bytes(toy_onnx(replace(toy_card(), class_names=("square", "bar", "other"))))
    return path


def test_json_and_files_have_metrics_protocol_and_detections(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, output = write_data(tmp_path / "data"), tmp_path / "out"
    flags = ["--data", str(data), "--output", str(output), "--json", "--score", "0.01", "--nms", "diou"]
    assert main(["evaluate", str(model), *flags]) == 0
    text, _, last = capsys.readouterr().out.rstrip().rpartition("\n")
    document = json.loads(text)
    assert last == f"wrote {output}/report.html, evaluation.json and detections.json"
    assert "<h1>toy on data</h1>" in (output / "report.html").read_text()
    assert (document["model"], document["images"], document["split"]) == ("toy", 4, "val")
    assert document["protocol"] == {
        "score": 0.01,
        "iou": 0.6,
        "distance_weight": 1.0,
        "ignore_case": False,
    }
    assert document["unmatched_classes"] == {"dataset": [], "model": ["other"]}
    assert {"ap", "ap50", "ar100", "voc2007", "voc2010"} <= document["metrics"].keys()
    assert [entry["label"] for entry in document["metrics"]["classes"]] == ["square", "bar"]
    assert document["latency_ms"] > 0
    assert json.loads((output / "evaluation.json").read_text()) == document
    assert {"image_id", "category_id", "bbox", "score"} == json.loads((output / "detections.json").read_text())[
        0
    ].keys()


def test_tables_have_a_row_per_class(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(model), "--data", str(write_data(tmp_path / "data"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "toy at 64 x 64 on 4 images of val"
    assert lines[4].split() == ["class", "objects", "ap", "ap50", "voc2007"]
    assert [line.split()[0] for line in lines[5:7]] == ["square", "bar"]
    assert lines[-1].endswith("ms for one image on cpu, without decoding the file")


def test_provider_and_precision_can_be_given(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data", str(write_data(tmp_path / "data")), "--provider", "cpu", "--json"]
    assert main(["evaluate", str(model), *flags]) == 0
    assert json.loads(capsys.readouterr().out)["device"] == "cpu"
    assert main(["evaluate", str(model), *flags, "--compute", "bf16"]) == 2
    assert "compute bf16: expected provider openvino or auto; got cpu" in capsys.readouterr().err


def test_classes_of_one_side_are_listed(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_data(tmp_path / "data")
    for file in data.glob("annotations/*.json"):
        file.write_text(file.read_text().replace('"square"', '"Square"'))
    assert main(["evaluate", str(model), "--data", str(data)]) == 0
    warning, note = capsys.readouterr().err.splitlines()
    assert "objects in 1 class that the model does not have, with AP 0: Square (" in warning
    assert "the model has 'square'); rename them, or match them with `lineage evaluate --ignore-case`" in warning
    assert note == "2 classes that the dataset does not have, with ignored detections: square, other"
    assert main(["evaluate", str(model), "--data", str(data), "--ignore-case"]) == 0
    [note] = capsys.readouterr().err.splitlines()
    assert note == "1 class that the dataset does not have, with ignored detections: other"


def test_bundled_model_is_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_data(tmp_path / "data")
    for file in data.glob("annotations/*.json"):
        file.write_text(file.read_text().replace('"square"', '"button"').replace('"bar"', '"link"'))
    assert main(["evaluate", "ui-elements", "--data", str(data)]) == 0
    assert capsys.readouterr().out.startswith("ui-elements at ")
