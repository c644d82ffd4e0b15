"""docs/training.md agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.training.write_data import write_data
from training.config import CHANGEABLE_ON_RESUME, DEFAULTS
from training.loop.autobatch import CPU_BATCH, MEMORY_FRACTION
from training.report.run import BATCHES, HISTORY, REPORT
from training.run import run_folder, trainer
from training.run.resolve_options import MAX_WORKERS

TEXT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def test_files_of_a_run_are_listed() -> None:
    [section] = re.findall(r"^## Files of a run\n(.*?)^## ", TEXT, re.MULTILINE | re.DOTALL)
    listed = {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall("`(.*?)`", row)
    }
    constants = (run_folder.CONFIG, run_folder.CHECKPOINT, run_folder.BEST, run_folder.LAST, run_folder.NONFINITE)
    assert listed == {*constants, BATCHES, HISTORY, REPORT, "results.csv", "events.*", "epoch_<n>.safetensors"}


def test_options_that_may_change_on_resume_are_listed() -> None:
    sentence = re.search(r"^(`--data`.*?) may change", TEXT, re.MULTILINE | re.DOTALL)
    assert sentence
    flags = {flag.replace("-", "_") for flag in re.findall(r"`--([\w-]+)`", sentence[1])}
    assert flags | {"resume"} == CHANGEABLE_ON_RESUME


def test_numbers_match_the_code() -> None:
    assert f"({DEFAULTS.patience}; 0 disables it)" in TEXT
    assert f"every `--save-minutes` ({DEFAULTS.save_minutes:g})" in TEXT
    assert f"at most {MAX_WORKERS}" in TEXT
    assert f"{MEMORY_FRACTION:.0%} of the free memory".replace("%", " %") in TEXT
    assert f"; {CPU_BATCH} on a CPU" in TEXT
    assert f'# "{trainer.FINISHED}"' in TEXT


def test_python_example_runs_at_small_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [source] = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    small = source.replace("yolov5n", "yolov5-test").replace(
        "epochs=3", "epochs=1, batch=4, image_size=(64,), workers=0"
    )
    write_data(tmp_path / "data" / "bccd")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(small, "docs/training.md", "exec"), scope)
    assert scope["result"].stop_reason == trainer.FINISHED
    assert 0 <= scope["result"].metrics.ap <= 1
    assert "finished" in capsys.readouterr().out
