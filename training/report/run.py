"""`report.html` of a run: how it went, how good it is, what it sees."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from model_zoo.contract.errors import LineageError
from training.data.dataset import Dataset
from training.data.validation.plots import box_size_figure, center_figure, class_figure
from training.data.validation.statistics import count_dataset
from training.evaluate.curves import SCORES, confusion_matrix, curves
from training.evaluate.detector import Evaluation
from training.report import plots
from training.report.images import comparison_sheet, jpeg
from training.report.page import Page

REPORT = "report.html"
HISTORY = "metrics.jsonl"
LABELS_AT = 640  # pixels of the longer side of the images whose boxes are drawn
BATCHES = "batches"  # JPEGs of the first batches, written when a run begins


def write_report(run: Path, dataset: Dataset, evaluation: Evaluation) -> Path:
    """Write the report of a run from its folder and the evaluation of its best weights; returns the file."""
    history = read_history(run)
    page = Page(f"Run {run.name}")
    page.paragraph(f"{len(history)} epochs on {dataset.root.name}; evaluated as it is served, by COCO's metrics.")
    add_evaluation(page, dataset, evaluation)
    page.heading("Training")
    figures = (plots.losses_figure(history), plots.metrics_figure(history), plots.rate_figure(history))
    page.plots(zip(("Losses", "Average precision", "Learning rate"), figures, strict=True))
    for path in sorted((run / BATCHES).glob("*.jpg")):
        page.picture(f"Training batch {path.stem}, with the boxes that are learned", path.read_bytes())
    page.heading("Data")
    page.plots(label_plots(dataset))
    page.heading("Configuration")
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    page.table(("option", "value"), flatten(config))
    target = run / REPORT
    target.write_text(page.html(), encoding="utf-8")
    return target


def add_evaluation(page: Page, dataset: Dataset, evaluation: Evaluation) -> None:
    """Add the tables, curves and pictures of one evaluation to a page."""
    names, metrics = dataset.class_names, evaluation.metrics
    drawn = curves(evaluation.records, evaluation.detections, len(names))
    score = float(SCORES[drawn.best])
    page.heading("Precision")
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
    matrix = confusion_matrix(evaluation.records, evaluation.detections, len(names), score=score)
    page.plots(
        [
            ("Precision over recall", plots.precision_recall_figure(evaluation.scored.precision[0], names)),
            ("F1 over the score: where its best is, a threshold serves both", plots.f1_figure(drawn, names)),
            (f"What is taken for what, at score {score:.2f}", plots.confusion_figure(matrix, names)),
        ]
    )
    present = [c for c in metrics.classes if c.objects]
    page.table(("class", "objects", "AP", "AP50"), [[c.label, c.objects, c.ap, c.ap50] for c in present])
    sheet = comparison_sheet(evaluation.records, evaluation.detections, names, score)
    page.picture(f"Truth on the left, detections over score {score:.2f} on the right", jpeg(sheet))


def label_plots(dataset: Dataset) -> list[tuple[str, Figure]]:
    """Draw what the objects of a dataset are: how many of each class, how large, where."""
    splits = list(dataset.splits.values())
    return [
        ("Objects of every class", class_figure(dataset.class_names, count_dataset(dataset))),
        ("Sizes of boxes", box_size_figure(splits, LABELS_AT)),
        ("Where their centers lie", center_figure(splits)),
    ]


def read_history(run: Path) -> list[dict[str, Any]]:
    """Read a run's rows, one per epoch; LineageError where the folder is not a run's."""
    path = run / HISTORY
    if not path.is_file():
        raise LineageError(f"{run}: expected the folder of a run, with {HISTORY} in it; there is none")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def flatten(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """List the values of a nested document by their dotted names."""
    rows: list[tuple[str, Any]] = []
    for name, value in document.items():
        rows += flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return rows
