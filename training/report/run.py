"""Write `report.html` of a training run: metrics, curves, detections, losses and data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import write_atomic
from model_zoo.contract.plural import plural
from training.data.dataset import Dataset
from training.data.validation.plots import box_size_figure, center_figure, class_figure
from training.data.validation.statistics import count_dataset
from training.evaluate.curves import SCORES, confusion_matrix, curves
from training.evaluate.evaluation import Evaluation
from training.report import plots
from training.report.images import comparison_sheet, encode_jpeg
from training.report.page import Page
from training.run.run_folder import BATCHES, HISTORY

REPORT = "report.html"
BOX_SIZE_SCALE = 640  # longer side of images in the plot of box sizes


def write_report(run: Path, dataset: Dataset, evaluation: Evaluation) -> Path:
    """Write the report of a run and return its path.

    Args:
        run: Folder of the run.
        dataset: Dataset of the run.
        evaluation: Evaluation of the best weights.
    """
    history = read_history(run)
    page = Page(f"Run {run.name}")
    page.paragraph(
        f"{plural(len(history), 'epoch')} on {dataset.root.name}. COCO metrics of the best weights, measured as served."
    )
    add_evaluation(page, dataset, evaluation)
    page.heading("Training")
    figures = (plots.loss_figure(history), plots.ap_figure(history), plots.learning_rate_figure(history))
    page.plots(zip(("Loss", "Average precision", "Learning rate"), figures, strict=True))
    for path in sorted((run / BATCHES).glob("*.jpg")):
        page.image(f"Training batch {path.stem} with target boxes", path.read_bytes())
    page.heading("Dataset")
    page.plots(object_plots(dataset))
    page.heading("Configuration")
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    page.table(("option", "value"), flatten(config))
    write_atomic(run / REPORT, page.html().encode())
    return run / REPORT


def add_evaluation(page: Page, dataset: Dataset, evaluation: Evaluation) -> None:
    """Add the tables, curves and images of an evaluation to a page."""
    names, metrics = dataset.class_names, evaluation.metrics
    f1_curves = curves(evaluation.records, evaluation.detections, len(names))
    score = float(SCORES[f1_curves.best])
    page.heading("Evaluation")
    page.table(
        ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large", "AR100"),
        [
            [
                metrics.ap,
                metrics.ap50,
                metrics.ap75,
                metrics.ap_small,
                metrics.ap_medium,
                metrics.ap_large,
                metrics.ar100,
            ]
        ],
    )
    if not f1_curves.f1.any():
        page.paragraph(
            "No detection matches an object, so all curves are 0, and so is the score threshold. Train for more "
            "epochs, or check the labels with lineage data check."
        )
    matrix = confusion_matrix(evaluation.records, evaluation.detections, len(names), score=score)
    page.plots(
        [
            ("Precision-recall curve", plots.precision_recall_figure(evaluation.coco.precision[0], names)),
            ("F1 by score threshold", plots.f1_figure(f1_curves, names)),
            (f"Confusion matrix at score threshold {score:.3g}", plots.confusion_figure(matrix, names)),
        ]
    )
    present = [c for c in metrics.classes if c.objects]
    page.table(("class", "objects", "AP", "AP50"), [[c.label, c.objects, c.ap, c.ap50] for c in present])
    sheet = comparison_sheet(evaluation.records, evaluation.detections, names, score)
    caption = f"Ground truth (left) and the best detections with a score of at least {score:.3g} (right)"
    page.image(caption, encode_jpeg(sheet))


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


def flatten(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the values of a nested document with their dotted names."""
    rows: list[tuple[str, Any]] = []
    for name, value in document.items():
        rows += flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return rows
