from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lineage.cli.main import main
from tests.tiny_onnx import toy_card
from tests.training.write_data import write_data
from training.data.open import open_dataset
from training.run import compare as compare_module
from training.run.compare import Budget, ComparedModel, Comparison

METRICS = {"ap": 0.5, "ap50": 0.7, "ap75": 0.6}


@pytest.mark.parametrize(("failures", "code"), [([], 0), (["b: damaged"], 1)])
def test_options_are_passed_and_files_written(
    failures: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, output = write_data(tmp_path / "toy"), tmp_path / "comparison"
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def compare(*arguments: Any, **options: Any) -> Comparison:
        calls.append((arguments, options))
        model = ComparedModel("a", replace(toy_card("a"), family="yolov5"), METRICS, latency_ms=1.5)
        return Comparison(open_dataset(data), [model], failures)

    monkeypatch.setattr(compare_module, "compare", compare)
    flags = ["--models", "a, b,", "--epochs", "3", "--batch", "4", "--image-size", "64", "--seed", "1"]
    more = ["--training=--optimizer adamw --lr 0.002", "--output", str(output), "--repository", "other"]
    assert main(["compare", "--data", str(data), *flags, *more]) == code
    [(arguments, options)] = calls
    budget = Budget(3, "4", (64,), 1, ("--optimizer", "adamw", "--lr", "0.002"))
    assert arguments == (["a", "b"], data, budget)
    assert (options["output"], options["repository"], options["val_split"]) == (output, Path("other"), "val")
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0].startswith("model,family,")
    assert captured.err.splitlines() == [f"lineage: {failure}" for failure in failures]
    assert {path.name for path in output.iterdir()} == {"comparison.html", "comparison.csv", "comparison.png"}
