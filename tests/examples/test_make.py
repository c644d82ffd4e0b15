"""One command from pages to a package: what it asks for, where it goes on, and what the package tells."""

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
from model_zoo.contract.package import Repository
from tests.conftest import ROOT
from tests.examples.requirements import needs_chromium, needs_systems

SMALL = make.Plan(count=20, epochs=1, image_size=160, batch=4, training="--workers 0")


def test_a_run_is_begun_then_gone_on_with(tmp_path: Path) -> None:
    run = tmp_path / NAME
    begin = make.training_command(SMALL, run)
    assert begin[:4] == ["lineage", "train", "--model", "yolov5n"]
    assert "--workers" in begin
    run.mkdir()  # ended before its first checkpoint
    assert make.training_command(SMALL, run) == begin
    assert not run.exists()
    run.mkdir()
    (run / "checkpoint.safetensors").touch()
    assert make.training_command(SMALL, run) == ["lineage", "train", "--resume", f"runs/{NAME}"]


def test_a_folder_keeps_to_its_plan(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(dataclasses.asdict(SMALL)))
    with pytest.raises(LineageError, match="another --output"):
        make.make(dataclasses.replace(SMALL, seed=1), tmp_path)


def test_a_step_that_fails_is_named(tmp_path: Path) -> None:
    step = make.Step(["lineage", "data", "check", "nothing"], tmp_path / "none", 1)
    with pytest.raises(LineageError, match=r"`lineage data check nothing` ended with 2"):
        make.run(step, tmp_path)


def test_the_flags_of_training_are_flags_of_train() -> None:
    asked = [word for word in make.training_command(make.DEFAULTS, ROOT / "none") if word.startswith("--")]
    done = subprocess.run(
        [sys.executable, "-m", "lineage", "train", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [flag for flag in asked if not re.search(rf"{flag}\b", done.stdout)] == []


@pytest.mark.slow
@needs_systems
@needs_chromium
def test_pages_become_a_package_that_tells_how_good_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(external_pages, "PAGES", {"playground": ("index",)})  # all of them take minutes
    unseen = tmp_path / "never-seen"
    write_dataset(unseen, list(external_pages.shoot_pages(unseen)), {"pages": 1})
    make.make(SMALL, tmp_path)
    package = Repository(tmp_path / "models").resolve(NAME)
    package.verify()
    assert [(m.name, m.dataset) for m in package.card.metrics] == [
        (name, f"{NAME} {split}") for split in ("val", "test", "never-seen") for name in ("AP", "AP50")
    ]
    assert package.card.precision == "fp16"
    told = (package.path / "README.md").read_text()
    assert "--count=20" in told
    assert "lineage train --model yolov5n --epochs 1" in told
    assert re.findall(r"^\| (\w+) \| \d+ \|", told, re.MULTILINE)[-len(NAMES) :] == list(NAMES)
    assert str(tmp_path) not in told
    capfd.readouterr()
    make.make(SMALL, tmp_path)  # nothing is left to do
    assert all(
        line.startswith(("done: ", "ui-elements@1 ", "serve it: ")) for line in capfd.readouterr().out.splitlines()
    )
