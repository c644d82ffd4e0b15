"""Options of a run: validation, JSON, and changes on resume."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from training.config import ADAPTER, TrainConfig, check_config, parse_config, resume_config

CONFIG = TrainConfig(model="yolov5n", data=Path("data"))
ORIGINAL = replace(CONFIG, epochs=10, batch=8, seed=3, image_size=(320, 320), precision="bf16")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "--epochs: expected more than 0; got 0"),
        ({"batch": -4}, "--batch: .*got -4"),
        ({"lr": -0.1}, "--lr: "),
        ({"patience": -1}, "--patience: "),
        ({"save_minutes": 0.0}, "--save-minutes: "),
        ({"save_minutes": float("inf")}, "--save-minutes: .*finite"),
        ({"lr": float("nan")}, "--lr: .*finite"),
        ({"hours": float("nan")}, "--hours: .*finite"),
        ({"seed": -1}, "--seed: .*got -1"),
        ({"seed": 2**64}, f"--seed: .*got {2**64}"),
        ({"epochs": 10**12}, "--epochs: .*got 1000000000000"),
        ({"batch": 10**9}, "--batch: .*got 1000000000"),
        ({"workers": 10**6}, "--workers: .*got 1000000"),
        ({"threads": 0}, "--threads: .*got 0"),
        ({"threads": 10**6}, "--threads: .*got 1000000"),
        ({"name": "../up"}, "--name: expected the name of a folder in runs; got '../up'"),
        ({"name": "/absolute"}, "--name: expected the name of a folder in runs; got '/absolute'"),
        ({"name": "a\\b"}, "--name: expected the name of a folder"),
        ({"name": ".."}, "--name: expected the name of a folder"),
        ({"name": " "}, "--name: expected the name of a folder"),
        ({"name": "a\0"}, "--name: expected the name of a folder"),
        ({"image_size": (64, 64, 64)}, "--image-size: expected one positive number, or height and width"),
        ({"model": ""}, "expected --model and --data, or --resume"),
        ({"data": None}, "expected --model and --data, or --resume"),
        ({"optimizer": "adamw"}, "--optimizer adamw: expected --lr as well"),
    ],
)
def test_error_names_the_flag(changes: dict[str, object], message: str) -> None:
    with pytest.raises(LineageError, match=message):
        check_config(replace(CONFIG, **changes))


@pytest.mark.parametrize("changes", [{"seed": 2**64 - 1}, {"name": "run.2 (copy)"}, {"name": "\N{SNOWMAN}"}])
def test_values_at_the_limits_are_accepted(changes: dict[str, object]) -> None:
    check_config(replace(CONFIG, **changes))


def test_config_survives_json() -> None:
    config = replace(CONFIG, batch=4, image_size=(320, 640), multi_scale=(0.5, 1.5), weights=Path("a.pt"), lr=1 / 3)
    assert parse_config(json.loads(json.dumps(ADAPTER.dump_python(config, mode="json")))) == config


def test_resume_keeps_the_original_options() -> None:
    requested = TrainConfig(resume=Path("runs/a"))
    assert resume_config(requested, ORIGINAL) == replace(ORIGINAL, resume=Path("runs/a"))
    assert resume_config(replace(requested, epochs=10), ORIGINAL).epochs == 10


def test_resume_accepts_options_that_do_not_affect_training() -> None:
    requested = TrainConfig(resume=Path("runs/a"), data=Path("moved"), workers=5, patience=0, hours=2.0, device="cpu")
    config = resume_config(requested, ORIGINAL)
    assert (config.data, config.workers, config.patience, config.hours, config.device) == (
        Path("moved"), 5, 0, 2.0, "cpu"
    )  # fmt: skip


def test_resume_rejects_options_that_affect_training() -> None:
    requested = TrainConfig(resume=Path("runs/a"), epochs=20, lr=0.1, workers=5)
    with pytest.raises(LineageError, match=r"--epochs, --lr cannot change on resume.*--weights runs/a"):
        resume_config(requested, ORIGINAL)


def test_import_is_light() -> None:
    """`lineage train --help` imports the options only."""
    code = "import sys, training.config; print(*{'torch', 'cv2', 'scipy', 'matplotlib'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_option_is_documented() -> None:
    source = Path(sys.modules[TrainConfig.__module__].__file__ or "").read_text(encoding="utf-8")
    lines = [line.strip() for line in source.splitlines()]
    for field in fields(TrainConfig):
        [index] = [i for i, line in enumerate(lines) if line.startswith(f"{field.name}: ")]
        assert lines[index + 1].startswith('"""'), field.name
