"""What docs/training.md says, compared with the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.training.write_data import write_data
from training.config import CHANGEABLE_ON_RESUME, DEFAULTS
from training.loop.autobatch import ON_A_CPU, SHARE
from training.report.run import BATCHES, HISTORY, REPORT
from training.run import run_folder, trainer
from training.run.resolve_options import MAX_WORKERS

TEXT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def test_the_files_of_a_run_are_listed() -> None:
    [section] = re.findall(r"^## What is in the folder of a run\n(.*?)^## ", TEXT, re.MULTILINE | re.DOTALL)
    listed = {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall("`(.*?)`", row)
    }
    named = (run_folder.CONFIG, run_folder.CHECKPOINT, run_folder.BEST, run_folder.LAST, run_folder.BROKEN)
    assert listed == {*named, BATCHES, HISTORY, REPORT, "results.csv", "events.*", "epoch_<n>.safetensors"}


def test_what_may_change_is_told() -> None:
    told = re.search(r"^(`--data`.*?) may change", TEXT, re.MULTILINE | re.DOTALL)
    assert told
    flags = {flag.replace("-", "_") for flag in re.findall(r"`--([\w-]+)`", told[1])}
    assert flags | {"resume"} == CHANGEABLE_ON_RESUME


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"({DEFAULTS.patience}; 0 has no end)" in TEXT
    assert f"every `--save-minutes` ({DEFAULTS.save_minutes:g})" in TEXT
    assert f"at most {MAX_WORKERS}" in TEXT
    assert f"{SHARE:.0%} of the free memory".replace("%", " %") in TEXT
    assert f"; {ON_A_CPU} on a CPU" in TEXT
    assert f'# "{trainer.FINISHED}"' in TEXT


def test_the_python_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [source] = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    small = source.replace("yolov5n", "yolov5-test").replace(
        "epochs=3", "epochs=1, batch=4, image_size=(64,), workers=0"
    )
    scope: dict[str, Any] = {"data": write_data(tmp_path / "data"), "runs": tmp_path / "runs"}
    exec(compile(small, "docs/training.md", "exec"), scope)
    assert scope["ended"] == trainer.FINISHED
    assert 0 <= scope["metrics"].ap <= 1
    capsys.readouterr()
