"""The page of a comparison: what the generations of YOLO make of one dataset."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from training.report.page import Page
from training.run.compare import Entry, note_of

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


def comparison_page(title: str, entries: Sequence[Entry], failures: Sequence[str]) -> str:
    """Return the page: a table, precision against cost, curves, notes on every generation."""
    page = Page(title)
    page.paragraph(
        "Precision is COCO's, of the exported file on the validation images. Latency is that of one image alone on one "
        "thread of this machine, all models in turns: compare the ratios, not the milliseconds."
    )
    page.table(COLUMNS, rows(entries))
    for failure in failures:
        page.paragraph(failure)
    page.plots((caption, precision_figure(entries, label, of)) for caption, label, of in COSTS)
    curves = [entry for entry in entries if entry.history]
    if curves:
        page.heading("How they learned")
        page.plots([("AP over the epochs", history_figure(curves, "ap")), ("Loss", history_figure(curves, "loss"))])
    page.heading("What changed from one to the next")
    for family in dict.fromkeys(entry.card.family for entry in entries):
        page.paragraph(note_of(family))
    return page.html()


def rows(entries: Sequence[Entry]) -> list[list[Any]]:
    """Return the table, a row per model."""
    return [
        [
            e.name,
            e.card.family,
            "x".join(map(str, e.card.input_size)),
            f"{e.card.params / 1e6:.2f}",
            f"{e.card.gflops:.2f}",
            *(f"{e.metrics[name]:.4f}" for name in ("ap", "ap50", "ap75")),
            f"{e.latency_ms:.1f}",
            "" if math.isnan(e.images_per_second) else f"{e.images_per_second:.1f}",
        ]
        for e in entries
    ]


def comparison_csv(entries: Sequence[Entry]) -> str:
    """Return the table as CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows(entries)])
    return stream.getvalue()


COSTS: Final[tuple[tuple[str, str, Callable[[Entry], float]], ...]] = (
    ("Precision against time", "latency (ms)", lambda e: e.latency_ms),
    ("Precision against size", "parameters (millions)", lambda e: e.card.params / 1e6),
    ("Precision against work", "GFLOPs", lambda e: e.card.gflops),
)


def precision_figure(entries: Sequence[Entry], label: str, cost: Callable[[Entry], float]) -> Figure:
    """Draw AP over a cost, a point per model with its name."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    costs = [cost(entry) for entry in entries]
    for entry, of_it in zip(entries, costs, strict=True):
        point = (of_it, entry.metrics["ap"])
        axes.scatter(*point, s=36)
        axes.annotate(entry.name, point, xytext=(5, 4), textcoords="offset points", fontsize="small")
    axes.set(xlabel=label, ylabel="AP", xscale="log" if min(costs) > 0 else "linear")  # a card may not tell a cost
    axes.margins(x=0.22)  # room for the names
    for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(alpha=0.3, which="both")
    return figure


def history_figure(entries: Sequence[Entry], column: str) -> Figure:
    """Draw one column of the histories over the epochs; losses relative to the first, since their scales differ."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for entry in entries:
        known = [row for row in entry.history if row.get(column) is not None]
        first = known[0][column] if column == "loss" and known else 1
        axes.plot([row["epoch"] for row in known], [row[column] / first for row in known], label=entry.name)
    axes.set(xlabel="epoch", ylabel="loss / first loss" if column == "loss" else column.upper())
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure
