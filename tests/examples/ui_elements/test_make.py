"""The command from pages to a package: its steps, resuming, and the published README."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.ui_elements import external_pages, make
from examples.ui_elements.classes import NAMES
from examples.ui_elements.coco import write_dataset
from examples.ui_elements.package_readme import NAME
from model_zoo.contract.errors import LineageError
from model_zoo.contract.repository import Repository
from tests.conftest import ROOT
from tests.examples.ui_elements.rendering import needs_chromium, needs_systems

SMALL = make.Plan(count=20, epochs=1, image_size=160, batch=4, training="--workers 0")


def test_training_command_starts_then_resumes_a_run(tmp_path: Path) -> None:
    run = tmp_path / NAME
    start = make.training_command(SMALL, run)
    assert start[:4] == ["lineage", "train", "--model", "yolov5n"]
    assert "--workers" in start
    run.mkdir()  # without a checkpoint
    assert make.training_command(SMALL, run) == start
    assert not run.exists()
    run.mkdir()
    (run / "checkpoint.safetensors").touch()
    assert make.training_command(SMALL, run) == ["lineage", "train", "--resume", f"runs/{NAME}"]


def test_folder_with_another_plan_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(dataclasses.asdict(SMALL)))
    with pytest.raises(LineageError, match="another --output"):
        make.make(dataclasses.replace(SMALL, seed=1), tmp_path)


def test_failed_step_is_named(tmp_path: Path) -> None:
    step = make.Step(["lineage", "data", "check", "nothing"], tmp_path / "none", 1)
    with pytest.raises(LineageError, match=r"`lineage data check nothing` exited with code 2"):
        make.run(step, tmp_path)


def test_training_command_uses_known_flags() -> None:
    flags = [word for word in make.training_command(make.DEFAULTS, ROOT / "none") if word.startswith("--")]
    done = subprocess.run(
        [sys.executable, "-m", "lineage", "train", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [flag for flag in flags if not re.search(rf"{flag}\b", done.stdout)] == []


@pytest.mark.slow
@needs_systems
@needs_chromium
def test_make_publishes_a_package_with_its_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(external_pages, "PAGES", {"playground": ("index",)})  # all pages take minutes
    unseen = tmp_path / "never-seen"
    write_dataset(unseen, list(external_pages.capture_pages(unseen)), {"pages": 1})
    make.make(SMALL, tmp_path)
    package = Repository(tmp_path / "models").resolve(NAME)
    package.verify()
    assert [(m.name, m.dataset) for m in package.card.metrics] == [
        (name, f"{NAME} {split}") for split in ("val", "test", "never-seen") for name in ("AP", "AP50")
    ]
    assert package.card.precision == "fp16"
    readme = (package.path / "README.md").read_text()
    assert "--count=20" in readme
    assert "lineage train --model yolov5n --epochs 1" in readme
    assert re.findall(r"^\| (\w+) \| \d+ \|", readme, re.MULTILINE)[-len(NAMES) :] == list(NAMES)
    assert str(tmp_path) not in readme
    capfd.readouterr()
    make.make(SMALL, tmp_path)  # all steps are done
    assert all(
        line.startswith(("done: ", "ui-elements@1 ", "serve it: ")) for line in capfd.readouterr().out.splitlines()
    )
