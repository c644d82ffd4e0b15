"""Report of a comparison: several YOLO generations on one dataset."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from model_zoo.contract.files import write_atomic
from model_zoo.contract.image_size import format_size
from model_zoo.registry import describe_family
from training.report.page import Page
from training.report.plots import add_legend, make_epoch_figure, plot_column
from training.report.png import figure_png
from training.report.text import plot_label, shorten
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
MIN_AP_SPAN: Final = 0.01  # of the AP axis; smaller differences are noise


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write comparison.csv, comparison.html and comparison.png, the plot of AP by latency. The numbers come first."""
    models = comparison.models
    write_atomic(folder / "comparison.csv", comparison_csv(models).encode())
    page = comparison_page(f"YOLO on {comparison.dataset.root.name}", models, comparison.failures)
    write_atomic(folder / "comparison.html", page.encode())
    _, label, cost = COSTS[0]
    write_atomic(folder / "comparison.png", figure_png(cost_figure(models, label, cost)))


def comparison_page(title: str, models: Sequence[ComparedModel], failures: Sequence[str]) -> str:
    """Return the HTML page: a table, plots of AP against cost, learning curves and notes on each generation."""
    page = Page(title)
    page.paragraph(
        "COCO metrics of the exported models on the validation images. Latency is for a single image on one thread of "
        "this machine, measured in rounds over all models: compare ratios rather than milliseconds."
    )
    page.table(*_without_empty_columns(table_rows(models)))
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
            format_size(model.card.input_size),
            _number(model.card.params / 1e6, 2),
            _number(model.card.gflops, 2),
            *(f"{model.metrics[name]:.4f}" for name in ("ap", "ap50", "ap75")),
            f"{model.latency_ms:.1f}",
            _number(model.images_per_second, 1),
        ]
        for model in models
    ]


def _number(value: float, digits: int) -> str:
    """Format a number. Unknown values, 0 or NaN, are empty. Small ones get enough digits not to become 0."""
    if not value > 0:
        return ""
    return f"{value:.{digits}f}" if value >= 10**-digits else f"{value:.1g}"


def _without_empty_columns(rows: Sequence[Sequence[Any]]) -> tuple[Sequence[str], list[list[Any]]]:
    """Return the names of the columns that have a value in some row, and the rows of these columns."""
    used = [i for i in range(len(COLUMNS)) if any(row[i] != "" for row in rows)]
    return [COLUMNS[i] for i in used], [[row[i] for i in used] for row in rows]


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
    """Plot AP over a cost, one labeled point per model whose cost and AP are known."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    points = [(m.name, cost(m), m.metrics["ap"]) for m in models if cost(m) > 0 and m.metrics["ap"] >= 0]
    middle = math.sqrt(min(p[1] for p in points) * max(p[1] for p in points)) if points else 1.0
    low, high = min((p[2] for p in points), default=0.0), max((p[2] for p in points), default=1.0)
    space = max(high - low, MIN_AP_SPAN) / 5
    for i, (name, x, ap) in enumerate(points):
        axes.scatter(x, ap, s=36)
        near = sum(max(x / other, other / x) < 1.3 and abs(ap - ap2) < space / 2 for _, other, ap2 in points[:i])
        shift, side = (5, "left") if x <= middle else (-5, "right")
        place: dict[str, Any] = {"xytext": (shift, 4 + 10 * near), "textcoords": "offset points", "ha": side}
        axes.annotate(shorten(name), (x, ap), fontsize="small", **place)
    axes.set(xlabel=label, ylabel="AP", xscale="log")
    axes.set_ylim(max(low - space, -(high + space) / 20), high + space)
    axes.margins(x=0.22)  # space for the names
    axes.grid(alpha=0.3, which="both")
    return figure


def history_figure(models: Sequence[ComparedModel], column: str) -> Figure:
    """Plot a metric over the epochs. Losses are relative to the first one, because their scales differ."""
    is_loss = column == "loss"
    figure, axes = make_epoch_figure("Loss relative to the first epoch" if is_loss else column.upper())
    for model in models:
        values = [row[column] for row in model.history if row.get(column) is not None]
        divisor = values[0] if is_loss and values and values[0] else 1.0
        plot_column(axes, model.history, column, plot_label(model.name), divisor)
    if not is_loss:
        axes.set_ylim(bottom=0)
    add_legend(axes)
    return figure
