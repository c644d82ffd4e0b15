"""Report of a comparison: several YOLO generations on one dataset."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from model_zoo.registry import describe_family
from training.report.page import Page
from training.run.compare import ComparedModel, Comparison

COLUMNS: Final = (
    "model",
    "family",
    "input",
    "params (M)",
    "GFLOPs",
    "AP",
    "AP50",
    "AP75",
    "latency (ms)",
    "training (images/s)",
)


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write comparison.html, comparison.csv and comparison.png, the plot of AP by latency."""
    models = comparison.models
    folder.mkdir(parents=True, exist_ok=True)
    page = comparison_page(f"YOLO on {comparison.dataset.root.name}", models, comparison.failures)
    (folder / "comparison.html").write_text(page, encoding="utf-8")
    (folder / "comparison.csv").write_text(comparison_csv(models), encoding="utf-8")
    _, label, cost = COSTS[0]
    cost_figure(models, label, cost).savefig(folder / "comparison.png", dpi=120)


def comparison_page(title: str, models: Sequence[ComparedModel], failures: Sequence[str]) -> str:
    """Return the HTML page: a table, plots of AP against cost, learning curves and notes on each generation."""
    page = Page(title)
    page.paragraph(
        "COCO metrics of the exported models on the validation images. Latency is for a single image on one thread of "
        "this machine, measured in rounds over all models: compare ratios rather than milliseconds."
    )
    page.table(COLUMNS, table_rows(models))
    for failure in failures:
        page.paragraph(failure)
    page.plots((caption, cost_figure(models, label, cost)) for caption, label, cost in COSTS)
    trained = [model for model in models if model.history]
    if trained:
        page.heading("Training")
        page.plots([("Average precision", history_figure(trained, "ap")), ("Loss", history_figure(trained, "loss"))])
    page.heading("Generations")
    for family in dict.fromkeys(model.card.family for model in models):
        description = describe_family(family)
        page.paragraph(f"{description.summary} {description.changes}".strip())
    return page.html()


def table_rows(models: Sequence[ComparedModel]) -> list[list[Any]]:
    """Return the table, one row per model."""
    return [
        [
            model.name,
            model.card.family,
            "x".join(map(str, model.card.input_size)),
            f"{model.card.params / 1e6:.2f}",
            f"{model.card.gflops:.2f}",
            *(f"{model.metrics[name]:.4f}" for name in ("ap", "ap50", "ap75")),
            f"{model.latency_ms:.1f}",
            "" if math.isnan(model.images_per_second) else f"{model.images_per_second:.1f}",
        ]
        for model in models
    ]


def comparison_csv(models: Sequence[ComparedModel]) -> str:
    """Return the table as CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *table_rows(models)])
    return stream.getvalue()


COSTS: Final[tuple[tuple[str, str, Callable[[ComparedModel], float]], ...]] = (
    ("AP by latency", "Latency (ms)", lambda model: model.latency_ms),
    ("AP by model size", "Parameters (millions)", lambda model: model.card.params / 1e6),
    ("AP by compute", "GFLOPs", lambda model: model.card.gflops),
)


def cost_figure(models: Sequence[ComparedModel], label: str, cost: Callable[[ComparedModel], float]) -> Figure:
    """Plot AP over a cost, one labeled point per model."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    costs = [cost(model) for model in models]
    for model, x in zip(models, costs, strict=True):
        point = (x, model.metrics["ap"])
        axes.scatter(*point, s=36)
        axes.annotate(model.name, point, xytext=(5, 4), textcoords="offset points", fontsize="small")
    axes.set(xlabel=label, ylabel="AP", xscale="log" if min(costs) > 0 else "linear")  # 0: the card lacks this cost
    axes.margins(x=0.22)  # space for the names
    for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(alpha=0.3, which="both")
    return figure


def history_figure(models: Sequence[ComparedModel], column: str) -> Figure:
    """Plot a metric over the epochs. Losses are relative to the first one, because their scales differ."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for model in models:
        history = [row for row in model.history if row.get(column) is not None]
        first = history[0][column] if column == "loss" and history else 1
        epochs, values = [row["epoch"] for row in history], [row[column] / first for row in history]
        axes.plot(epochs, values, label=model.name)
    axes.set(xlabel="Epoch", ylabel="Loss relative to the first epoch" if column == "loss" else column.upper())
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure
