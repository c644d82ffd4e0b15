"""The folder of a run: runs/<name>, and what it was made of.

config.json            every choice, the recipe's numbers, the dataset's fingerprints, versions
best.safetensors       averaged weights of the best evaluation
last.safetensors       averaged weights of the last epoch
epoch_<n>.safetensors  those that were asked to be kept
checkpoint.safetensors all that is needed to go on
results.csv, metrics.jsonl, events.*    one row an epoch
broken_step/           the batch that broke a run, where one did
"""

from __future__ import annotations

import itertools
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import write_atomic
from training.config import ADAPTER, TrainConfig, parse_config
from training.data.dataset import Dataset
from training.recipe import Recipe

CONFIG, CHECKPOINT = "config.json", "checkpoint.safetensors"
BROKEN = "broken_step"
BEST, LAST = "best.safetensors", "last.safetensors"
PACKAGES = ("yolo-lineage", "torch", "numpy", "opencv-python-headless", "faster-coco-eval")


def new_folder(runs: Path, name: str) -> Path:
    """Make the folder of a new run: `name`, or where that is taken `name-2`, `name-3`, ..."""
    for number in itertools.count(1):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("numbers do not end")


def describe(config: TrainConfig, recipe: Recipe, dataset: Dataset, world: int) -> dict[str, Any]:
    """Return all that a run is made of, as a JSON document."""
    splits = {name: {"images": len(s.records), "sha256": s.fingerprint} for name, s in dataset.splits.items()}
    return {
        "config": ADAPTER.dump_python(config, mode="json"),
        "recipe": numbers_of(recipe),
        "data": {"root": str(dataset.root), "class_names": list(dataset.class_names), "splits": splits},
        "processes": world,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }


def numbers_of(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as JSON has it; the criterion goes by its source."""
    fields = asdict(recipe)
    del fields["criterion"]
    numbers: dict[str, Any] = json.loads(json.dumps(fields), parse_constant=str)  # JSON has no infinity
    return numbers


def write_text(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    write_atomic(path, text.encode())


def write_config(folder: Path, document: Mapping[str, Any]) -> None:
    """Keep what a run is made of beside it."""
    write_text(folder / CONFIG, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def read_config(folder: Path) -> tuple[TrainConfig, dict[str, Any]]:
    """Read the config of a run, and the whole document; LineageError if there is no run."""
    path = folder / CONFIG
    if not path.is_file():
        raise LineageError(f"expected the folder of a run; there is no {CONFIG} in {folder}")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return parse_config(document["config"]), document
    except (ValueError, KeyError, TypeError) as error:
        raise LineageError(f"{path}: expected the config of a run; it is damaged ({error})") from error


def weights_in(folder: Path) -> Path:
    """Return the weights that a run is known by: the best, or the last where none were evaluated."""
    for name in (BEST, LAST):
        if (folder / name).is_file():
            return folder / name
    raise LineageError(f"expected a run with weights; there is neither {BEST} nor {LAST} in {folder}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
