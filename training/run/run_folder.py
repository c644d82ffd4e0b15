"""Folder of a run: runs/<name>.

| file | contents |
| --- | --- |
| config.json | options, recipe, dataset fingerprints and versions |
| best.safetensors | averaged weights of the best epoch |
| last.safetensors | averaged weights of the last epoch |
| epoch_<n>.safetensors | averaged weights of every n-th epoch, with --save-every |
| checkpoint.safetensors | everything needed to resume |
| results.csv, metrics.jsonl, events.* | one row per epoch |
| nonfinite_batch/ | batch with a non-finite loss or gradient, if any |
"""

from __future__ import annotations

import itertools
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model_zoo.contract import typed_json
from model_zoo.contract.card import WeightsOrigin
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import write_atomic
from model_zoo.contract.versions import installed_version
from training.config import ADAPTER, TrainConfig, parse_config
from training.data.dataset import Dataset
from training.recipe import Recipe

CONFIG, CHECKPOINT = "config.json", "checkpoint.safetensors"
NONFINITE = "nonfinite_batch"
HISTORY = "metrics.jsonl"
BATCHES = "batches"  # folder of JPEGs of the first training batches
BEST, LAST = "best.safetensors", "last.safetensors"
PACKAGES = ("yolo-lineage", "torch", "numpy", "opencv-python-headless", "faster-coco-eval")


def create_run_folder(runs: Path, name: str) -> Path:
    """Create the folder of a new run: `name`, or `name-2`, `name-3`, ... if it exists.

    Raises:
        LineageError: `runs` is not a folder.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise LineageError(f"--runs: expected a folder, or a name for a new one; got the file {runs}") from error
    for number in itertools.count(1):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")


def describe_run(config: TrainConfig, recipe: Recipe, dataset: Dataset, world_size: int) -> dict[str, Any]:
    """Return options, recipe, dataset fingerprints and versions of a run as a JSON document."""
    splits = {name: {"images": len(s.records), "sha256": s.fingerprint} for name, s in dataset.splits.items()}
    return {
        "config": ADAPTER.dump_python(config, mode="json"),
        "recipe": recipe_document(recipe),
        "data": {"root": str(dataset.root), "class_names": list(dataset.class_names), "splits": splits},
        "world_size": world_size,
        "versions": {"python": platform.python_version()}
        | {name: installed_version(name) or "not installed" for name in PACKAGES},
    }


def recipe_document(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as a JSON document, in which `source` stands for the criterion."""
    fields = asdict(recipe)
    del fields["criterion"]
    document: dict[str, Any] = json.loads(json.dumps(fields), parse_constant=str)  # JSON has no infinity
    return document


def write_config(folder: Path, document: Mapping[str, Any]) -> None:
    """Write the document of a run."""
    write_atomic(folder / CONFIG, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


def read_config(folder: str | Path) -> tuple[TrainConfig, dict[str, Any]]:
    """Read config and document of a run.

    Raises:
        LineageError: The folder is not a run's, or its config is damaged.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise LineageError(f"{folder}: expected the folder of a run; there is no {CONFIG} in it")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return parse_config(document["config"]), document
    except (ValueError, KeyError, TypeError) as error:
        raise LineageError(f"{path}: expected the config of a run, but the file is damaged ({error})") from error


def read_origin(document: Mapping[str, Any]) -> WeightsOrigin:
    """Return the origin of the weights of a run from its document. Documents of older versions have none.

    Raises:
        LineageError: The entry is damaged.
    """
    return WeightsOrigin(**typed_json.read_fields(WeightsOrigin, document.get("weights", {}), "weights"))


def weights_in(folder: str | Path) -> Path:
    """Return the best weights of a run, or the last ones if none were evaluated.

    Raises:
        LineageError: The run has no weights.
    """
    for name in (BEST, LAST):
        if (path := Path(folder) / name).is_file():
            return path
    raise LineageError(f"{folder}: expected a run with weights; there is neither {BEST} nor {LAST} in it")
