"""Write `report.html` of a training run: summary, curves, accuracy, images, data and options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import write_atomic
from model_zoo.contract.plural import plural
from training.data.dataset import Dataset
from training.data.validation.plots import box_size_figure, center_figure, class_figure
from training.data.validation.statistics import count_dataset
from training.evaluate.evaluation import Evaluation
from training.report import plots
from training.report.evaluation import REPORT, Assessment, add_accuracy, add_images, flatten
from training.report.page import Page, Tile
from training.run.run_folder import BATCHES, HISTORY

BOX_SIZE_SCALE = 640  # longer side of images in the plot of box sizes
MINUTE, HOUR = 60, 3600


def write_report(run: Path, dataset: Dataset, evaluation: Evaluation) -> Path:
    """Write the report of a run and return its path.

    Args:
        run: Folder of the run.
        dataset: Dataset of the run.
        evaluation: Evaluation of the best weights.
    """
    history = read_history(run)
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assessment = Assessment(dataset.class_names, evaluation)
    page = Page(f"{run.name} on {dataset.root.stem}")
    page.summary(assessment.sentence(run.name), [*assessment.tiles(), *_run_tiles(history)])
    page.heading("Training")
    figures = (plots.ap_figure(history), plots.loss_figure(history), plots.learning_rate_figure(history))
    page.plots(zip(("Average precision", "Loss", "Learning rate"), figures, strict=True))
    add_accuracy(page, assessment)
    add_images(page, assessment)
    page.heading("Data")
    page.plots(object_plots(dataset))
    for path in sorted((run / BATCHES).glob("*.jpg")):
        page.image(f"Training batch {path.stem} with target boxes", path.read_bytes())
    page.heading("Configuration")
    rows = flatten(config)
    page.table(("option", "value"), rows, folded=f"Show {plural(len(rows), 'option')}")
    write_atomic(run / REPORT, page.html().encode())
    return run / REPORT


def _run_tiles(history: Sequence[Mapping[str, Any]]) -> list[Tile]:
    """Return the number of epochs, and the time they took."""
    evaluated = [row for row in history if row.get("ap") is not None]
    best = max(evaluated, key=lambda row: row["ap"], default=None)
    seconds = sum(row.get("seconds", 0) for row in history)
    epochs = Tile("Epochs", f"{len(history):,}", f"highest AP in {best['epoch']}" if best else "")
    return [epochs, Tile("Time", _duration(seconds), "training and evaluation")] if seconds else [epochs]


def _duration(seconds: float) -> str:
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < HOUR else f"{seconds / HOUR:.1f} h"


def object_plots(dataset: Dataset) -> list[tuple[str, Figure]]:
    """Plot the number, size and position of the objects of a dataset."""
    splits = list(dataset.splits.values())
    return [
        ("Objects per class", class_figure(dataset.class_names, count_dataset(dataset))),
        ("Box sizes (px)", box_size_figure(splits, BOX_SIZE_SCALE)),
        ("Box centers", center_figure(splits)),
    ]


def read_history(run: Path) -> list[dict[str, Any]]:
    """Read the metrics of a run, one row per epoch.

    Raises:
        LineageError: The folder is not a run.
    """
    path = run / HISTORY
    if not path.is_file():
        raise LineageError(f"{run}: expected the folder of a training run; it has no {HISTORY}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
