from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.contract.repository import Repository
from tests.tiny_onnx import toy_card, toy_onnx
from tests.training.run.lock_holder import hold
from tests.training.write_data import write_data
from training.data.dataset import Record
from training.data.open import open_dataset
from training.evaluate.source import open_source
from training.report.comparison import write_comparison
from training.run import compare as compare_module
from training.run.compare import Budget, choose_sample, compare, detect_sample
from training.run.run_folder import BEST, read_config

BUDGET = Budget(epochs=2, batch="4", image_size=(64,), seed=3, training=("--optimizer", "adamw", "--lr", "0.001"))


@pytest.mark.slow
def test_models_are_trained_published_and_measured_once(tmp_path: Path) -> None:
    data, output = write_data(tmp_path / "toy"), tmp_path / "comparison"
    models = ["yolov5-test", "yolox-test"]
    budget = Budget(1, "4", (64,), training=("--workers", "0", "--optimizer", "adamw", "--lr", "0.001"))
    first = compare(models, data, budget, output=output)
    assert ([model.name for model in first.models], first.failures) == (models, [])
    assert all(model.latency_ms > 0 and model.images_per_second > 0 for model in first.models)
    assert sorted(Repository(output / "models").names()) == models
    assert read_config(output / "runs" / "yolov5-test")[0].optimizer == "adamw"

    written = {path: path.stat().st_mtime_ns for name in models for path in [output / "runs" / name / BEST]}
    messages: list[str] = []
    second = compare([*models, str(tmp_path / "absent.onnx")], data, budget, output=output, log=messages.append)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert [model.name for model in second.models] == models
    assert len(second.failures) == 1
    assert "absent.onnx" in second.failures[0]
    assert messages == [f"skipped {second.failures[0]}"]

    assert second.sample is not None
    assert all(model.sample is not None for model in second.models)
    write_comparison(output, second)
    assert "yolox-test (2021): " in (output / "comparison.html").read_text(encoding="utf-8")
    assert "absent.onnx" in (output / "comparison.html").read_text(encoding="utf-8")
    assert (output / "comparison.csv").read_text(encoding="utf-8").count("\n") == 3
    assert (output / "comparison.png").stat().st_size > 1000

    run = output / "runs" / "yolov5-test"
    third = compare([str(run), str(run / BEST)], data, budget, output=output)
    assert [model.name for model in third.models] == [str(run), str(run / BEST)]
    assert len(list((output / "exports").glob("*.onnx"))) == 1, "both have the same weights"
    for model in third.models:
        assert model.metrics["ap50"] == pytest.approx(first.models[0].metrics["ap50"], abs=0.02)


def make_record(objects: int) -> Record:
    empty = np.zeros(objects, np.int64)
    return Record(Path("x.png"), (8, 8), np.zeros((objects, 4), np.float32), empty, empty > 0, empty / 1, objects)


@pytest.mark.parametrize(("counts", "chosen"), [([], None), ([0, 0], None), ([0, 0, 0, 0, 2], 2), ([1, 9, 5, 4], 9)])
def test_sample_has_more_objects_than_most_images(counts: list[int], chosen: int | None) -> None:
    sample = choose_sample([make_record(count) for count in counts])
    assert (sample and len(sample.boxes)) == chosen


def test_sample_is_detected_as_served_in_the_classes_of_the_dataset(tmp_path: Path) -> None:
    dataset = open_dataset(write_data(tmp_path / "data"))
    path = tmp_path / "toy.onnx"
    path.write_bytes(toy_onnx(replace(toy_card(), class_names=("other", "bar", "square"))))
    source = open_source(path, tmp_path, threads=1)
    found = detect_sample(source, dataset, dataset.split("val").records[0])
    assert len(found)
    assert found.scores.min() >= source.card.thresholds.score
    assert set(found.class_ids.tolist()) <= {0, 1}


def test_comparison_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="no model could be trained or evaluated"):
        compare([str(tmp_path / "absent.onnx")], write_data(tmp_path / "toy"), BUDGET, output=tmp_path / "comparison")


def test_budget_is_passed_to_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    codes = iter([0, 0, 2, 130])

    def record(command: list[str], check: bool) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=next(codes))

    monkeypatch.setattr(subprocess, "run", record)
    run = tmp_path / "runs" / "yolox-test"
    compare_module._train("yolox-test", tmp_path / "toy", BUDGET, run)
    assert commands[0][:4] == [sys.executable, "-m", "lineage", "train"]
    assert commands[0][-6:] == ["--image-size", "64", *BUDGET.training]
    run.mkdir(parents=True)
    (run / "checkpoint.safetensors").touch()
    compare_module._train("yolox-test", tmp_path / "toy", BUDGET, run)
    assert commands[1][4:] == ["--resume", str(run)]
    with pytest.raises(LineageError, match="yolox-test: training failed with exit code 2"):
        compare_module._train("yolox-test", tmp_path / "toy", BUDGET, run)
    with pytest.raises(KeyboardInterrupt):
        compare_module._train("yolox-test", tmp_path / "toy", BUDGET, run)


def test_run_of_another_process_is_not_removed(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "yolox-test"
    run.mkdir(parents=True)
    with hold(run), pytest.raises(LineageError, match="in use by process"):
        compare_module._train("yolox-test", tmp_path / "toy", BUDGET, run)
    assert run.is_dir()


def test_invalid_budget_is_refused_once(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match=r"--epochs: .*got 0"):
        compare(["yolox-test"], write_data(tmp_path / "toy"), Budget(0), output=tmp_path / "comparison")
    assert not (tmp_path / "comparison").exists()


def test_misspelled_variant_is_reported_with_a_suggestion(tmp_path: Path) -> None:
    messages: list[str] = []
    with pytest.raises(LineageError, match="nothing to compare"):
        compare(["yolov5-tost"], write_data(tmp_path / "toy"), BUDGET, output=tmp_path, log=messages.append)
    assert "did you mean yolov5-test" in messages[0]
