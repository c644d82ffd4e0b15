"""Plots of a run and of an evaluation, as matplotlib figures without global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from training.evaluate.curves import SCORES, Curves
from training.report.text import plot_label, shorten

History = Sequence[Mapping[str, float]]  # one row per epoch
MAX_CLASSES: Final = 20  # classes in a legend; of more, only the mean is plotted
MAX_MARKERS: Final = 40  # epochs of a curve with markers
RECALLS: Final = np.linspace(0, 1, 101)
COLORS: Final = (
    "#2f80d0",
    "#e07b00",
    "#1a9a6c",
    "#d9485f",
    "#9a62d0",
    "#a8763e",
    "#17a2b8",
    "#d65db1",
    "#8a9a1f",
    "#7f8893",
)
"""Colors of lines, visible on white and on black."""
SHADES: Final = LinearSegmentedColormap.from_list("shades", [(*to_rgb(COLORS[0]), alpha) for alpha in (0, 1)])
SIZE: Final = (4.6, 3.2)  # inches; letters of 10 points stay readable on a phone


def loss_figure(history: History) -> Figure:
    """Plot every loss term over the epochs."""
    figure, axes = make_epoch_figure("Loss")
    for name in _columns(history, "loss/"):
        plot_column(axes, history, name, name.removeprefix("loss/"))
    add_legend(axes)
    return figure


def ap_figure(history: History) -> Figure:
    """Plot AP and AP50 over the epochs."""
    figure, axes = make_epoch_figure("Average precision")
    for name, label in (("ap50", "AP50"), ("ap", "AP")):
        plot_column(axes, history, name, label)
    axes.set_ylim(0, 1.02)
    add_legend(axes)
    return figure


def learning_rate_figure(history: History) -> Figure:
    """Plot the learning rate over the epochs."""
    figure, axes = make_epoch_figure("Learning rate")
    plot_column(axes, history, "lr", "lr")
    return figure


def precision_recall_figure(precision: NDArray[np.float64], class_names: Sequence[str]) -> Figure:
    """Plot precision over recall at IoU 0.5 from COCO's points (101, classes), -1 for classes without objects."""
    figure, axes = make_figure("Recall", "Precision (IoU 0.5)")
    present = [i for i in range(len(class_names)) if (precision[:, i] >= 0).any()]
    if len(present) <= MAX_CLASSES:
        for i in present:
            label = f"{plot_label(class_names[i])} {precision[:, i].mean():.3f}"
            axes.plot(RECALLS, precision[:, i], linewidth=1, label=label)
    if present:
        mean = precision[:, present].mean(axis=1)
        axes.plot(RECALLS, mean, color="black", linewidth=2.5, label=f"all classes {mean.mean():.3f}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    add_legend(axes)
    return figure


def f1_figure(curves: Curves, class_names: Sequence[str]) -> Figure:
    """Plot F1 over the score threshold, and mark the threshold with the best mean."""
    figure, axes = make_figure("Score threshold", "F1 (IoU 0.5)")
    if len(class_names) <= MAX_CLASSES:
        for label, row in zip(class_names, curves.f1, strict=True):
            axes.plot(SCORES, row, linewidth=1, label=plot_label(label))
    mean, best = curves.mean_f1, curves.best
    axes.plot(SCORES, mean, color="black", linewidth=2.5, label=f"mean, {mean[best]:.3f} at {SCORES[best]:.3f}")
    axes.axvline(SCORES[best], color="black", linewidth=0.8, linestyle=":")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    add_legend(axes)
    return figure


def confusion_figure(matrix: NDArray[np.int64], class_names: Sequence[str]) -> Figure:
    """Plot the confusion matrix, shaded by the fraction of each true class, except for background."""
    labels = [*map(shorten, class_names), "background"]
    side = max(3.2, 0.36 * min(len(labels), MAX_CLASSES + 1) + 1.4)
    figure, axes = make_figure("True class", "Predicted class", (side + 1, side))
    fractions = matrix / np.maximum(matrix.sum(axis=0, keepdims=True), 1)
    fractions[:, -1] = np.nan
    axes.imshow(np.ma.masked_invalid(fractions), cmap=SHADES, vmin=0, vmax=1, interpolation="none")
    axes.grid(visible=False)
    if len(labels) <= MAX_CLASSES + 1:
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        for (row, column), count in np.ndenumerate(matrix):
            color = "white" if fractions[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count}", ha="center", va="center", color=color, fontsize="small")
    return figure


def make_epoch_figure(label: str) -> tuple[Figure, Axes]:
    """Return an empty plot of `label` over the epochs."""
    figure, axes = make_figure("Epoch", label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure, axes


def plot_column(
    axes: Axes, history: History, name: str, label: str, divisor: float = 1.0, color: str | None = None
) -> None:
    """Plot a column over the epochs that have it. Short curves get markers, so that a single epoch shows."""
    points = [(row["epoch"], row[name] / divisor) for row in history if row.get(name) is not None]
    if points:
        epochs, values = zip(*points, strict=True)
        marker = "o" if len(points) < MAX_MARKERS else None
        axes.plot(epochs, values, marker=marker, markersize=4, label=label, color=color)


def add_legend(axes: Axes) -> None:
    """Add a legend of the labels, if any: beside the plot if they are many or long, else inside."""
    labels = axes.get_legend_handles_labels()[1]
    if not labels:
        return
    outside = len(labels) > 10 or max(map(len, labels)) > 24
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if outside else {}
    axes.legend(fontsize="small", frameon=False, **place)


def make_figure(x: str, y: str, size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    """Return an empty plot with the names of its axes."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.set_prop_cycle(color=COLORS)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    return figure, axes


def _columns(history: History, prefix: str) -> list[str]:
    names = (name for row in history for name in row if name.startswith(prefix))
    return list(dict.fromkeys(names))
