"""Report of an evaluation, and the parts of it that the report of a run has too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from model_zoo.contract.files import write_atomic
from model_zoo.contract.image_size import format_size
from model_zoo.contract.plural import plural
from model_zoo.runtime.machine import describe_machine
from training.data.dataset import Dataset
from training.evaluate.curves import SCORES, Curves, confusion_matrix, curves
from training.evaluate.evaluation import Evaluation
from training.report import plots
from training.report.images import encode_jpeg
from training.report.page import Page, Tile
from training.report.verdicts import LEGEND, Verdict, best_and_worst, draw_verdict, judge

REPORT = "report.html"


@dataclass(frozen=True, eq=False)
class Assessment:
    """An evaluation at the score threshold with the best mean F1."""

    class_names: Sequence[str]
    """Names of the classes."""
    evaluation: Evaluation
    """The evaluation."""

    @cached_property
    def curves(self) -> Curves:
        """Precision and recall by score."""
        return curves(self.evaluation.records, self.evaluation.detections, len(self.class_names))

    @cached_property
    def score(self) -> float:
        """The score threshold."""
        return float(SCORES[self.curves.best])

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Objects found in each image."""
        return judge(self.evaluation.records, self.evaluation.detections, self.score)

    @property
    def recall(self) -> float:
        """Part of the objects that are found."""
        return sum(v.found for v in self.verdicts) / max(sum(v.objects for v in self.verdicts), 1)

    @property
    def precision(self) -> float:
        """Part of the detections that are right."""
        return sum(v.found for v in self.verdicts) / max(sum(len(v.matches) for v in self.verdicts), 1)

    def sentence(self, model: str) -> str:
        """Return the result in one sentence."""
        objects = plural(sum(v.objects for v in self.verdicts), "object")
        images = plural(len(self.verdicts), "image")
        return (
            f"At a score of at least {self.score:.2f}, {model} finds {self.recall:.0%} of {objects} in {images}, and "
            f"{self.precision:.0%} of its detections are right."
        )

    def tiles(self) -> list[Tile]:
        """Return the key figures."""
        metrics = self.evaluation.metrics
        return [
            Tile("AP", _metric(metrics.ap), "IoU 0.50 to 0.95"),
            Tile("AP50", _metric(metrics.ap50), "IoU 0.50"),
            Tile("Recall", f"{self.recall:.0%}", f"at score {self.score:.2f}"),
            Tile("Precision", f"{self.precision:.0%}", f"at score {self.score:.2f}"),
        ]


def write_evaluation_report(
    folder: Path, dataset: Dataset, evaluation: Evaluation, document: Mapping[str, Any]
) -> Path:
    """Write the report of `lineage evaluate` and return its path.

    Args:
        folder: Folder of the report.
        dataset: Dataset of the evaluation.
        evaluation: The evaluation.
        document: The content of evaluation.json.
    """
    model, assessment = document["model"], Assessment(dataset.class_names, evaluation)
    page = Page(f"{model} on {dataset.root.stem}")
    latency = Tile("Latency", f"{document['latency_ms']:.1f} ms", f"one image, {document['device']}")
    size = Tile("Input", format_size(document["input"]), "width x height")
    page.summary(assessment.sentence(model), [*assessment.tiles(), latency, size])
    add_accuracy(page, assessment)
    add_images(page, assessment)
    page.heading("Configuration")
    cpu = {"cpu": describe_machine()["cpu"]}
    options = {name: value for name, value in document.items() if name != "metrics"}
    page.table(("option", "value"), flatten(options | cpu), folded="Show model, data and protocol")
    write_atomic(folder / REPORT, page.html().encode())
    return folder / REPORT


def add_accuracy(page: Page, assessment: Assessment) -> None:
    """Add the curves, the confusion matrix and the metrics of the classes."""
    names, evaluation, score = assessment.class_names, assessment.evaluation, assessment.score
    page.heading("Accuracy")
    if not assessment.curves.f1.any():
        page.notice(
            "No detection matches an object, so all curves are 0, and so is the score threshold. Train for more "
            "epochs, or check the labels with lineage data check."
        )
    matrix = confusion_matrix(evaluation.records, evaluation.detections, len(names), score=score)
    page.plots(
        [
            ("Precision-recall curve", plots.precision_recall_figure(evaluation.coco.precision[0], names)),
            ("F1 by score threshold", plots.f1_figure(assessment.curves, names)),
            (f"Confusion matrix at score threshold {score:.2f}", plots.confusion_figure(matrix, names)),
        ]
    )
    metrics = evaluation.metrics
    present = [c for c in metrics.classes if c.objects]
    rows = [[c.label, c.objects, c.ap, c.ap50] for c in present]
    page.table(("class", "objects", "AP", "AP50"), rows, bars=("AP", "AP50"))
    sizes = {"AP75": metrics.ap75, "AP small": metrics.ap_small, "AP medium": metrics.ap_medium}
    more = {**sizes, "AP large": metrics.ap_large, "AR100": metrics.ar100}
    page.table(tuple(more), [list(more.values())])


def add_images(page: Page, assessment: Assessment) -> None:
    """Add the images with the best and with the worst detections."""
    best, worst = best_and_worst(assessment.verdicts)
    page.heading("Best and worst images")
    page.paragraph(LEGEND)
    for title, verdicts in (("Worst", worst), ("Best", best)):
        if verdicts:
            page.subheading(title)
            page.images(
                (v.caption(v.record.path.name), encode_jpeg(draw_verdict(v, assessment.class_names))) for v in verdicts
            )


def flatten(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the values of a nested document with their dotted names."""
    rows: list[tuple[str, Any]] = []
    for name, value in document.items():
        rows += flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return rows


def _metric(value: float) -> str:
    return f"{value:.3f}" if value >= 0 else "\N{EN DASH}"
