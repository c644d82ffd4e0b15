"""Plots of a run and of an evaluation, as matplotlib figures without global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluate.curves import SCORES, Curves

History = Sequence[Mapping[str, float]]  # one row per epoch
MAX_CLASSES: Final = 20  # classes in a legend; of more, only the mean is plotted
RECALLS: Final = np.linspace(0, 1, 101)


def loss_figure(history: History) -> Figure:
    """Plot every loss term over the epochs."""
    figure, axes = _make_figure("Epoch", "Loss")
    for name in _columns(history, "loss/"):
        _plot_column(axes, history, name, name.removeprefix("loss/"))
    axes.legend()
    return figure


def ap_figure(history: History) -> Figure:
    """Plot AP and AP50 over the epochs."""
    figure, axes = _make_figure("Epoch", "Average precision")
    for name, label in (("ap50", "AP50"), ("ap", "AP")):
        _plot_column(axes, history, name, label)
    axes.set_ylim(0, 1)
    axes.legend()
    return figure


def learning_rate_figure(history: History) -> Figure:
    """Plot the learning rate over the epochs."""
    figure, axes = _make_figure("Epoch", "Learning rate")
    _plot_column(axes, history, "lr", "lr")
    return figure


def precision_recall_figure(precision: NDArray[np.float64], class_names: Sequence[str]) -> Figure:
    """Plot precision over recall at IoU 0.5 from COCO's points (101, classes), -1 for classes without objects."""
    figure, axes = _make_figure("Recall", "Precision (IoU 0.5)")
    present = [i for i in range(len(class_names)) if (precision[:, i] >= 0).any()]
    if len(present) <= MAX_CLASSES:
        for i in present:
            axes.plot(RECALLS, precision[:, i], linewidth=1, label=f"{class_names[i]} {precision[:, i].mean():.3f}")
    if present:
        mean = precision[:, present].mean(axis=1)
        axes.plot(RECALLS, mean, color="black", linewidth=2.5, label=f"all classes {mean.mean():.3f}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize="small")
    return figure


def f1_figure(curves: Curves, class_names: Sequence[str]) -> Figure:
    """Plot F1 over the score threshold, and mark the threshold with the best mean."""
    figure, axes = _make_figure("Score threshold", "F1 (IoU 0.5)")
    if len(class_names) <= MAX_CLASSES:
        for label, row in zip(class_names, curves.f1, strict=True):
            axes.plot(SCORES, row, linewidth=1, label=label)
    mean, best = curves.mean_f1, curves.best
    axes.plot(SCORES, mean, color="black", linewidth=2.5, label=f"mean, {mean[best]:.3f} at {SCORES[best]:.3f}")
    axes.axvline(SCORES[best], color="black", linewidth=0.8, linestyle=":")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize="small")
    return figure


def confusion_figure(matrix: NDArray[np.int64], class_names: Sequence[str]) -> Figure:
    """Plot the confusion matrix, shaded by the fraction of each true class, except for background."""
    figure, axes = _make_figure("True class", "Predicted class")
    labels = [*class_names, "background"]
    fractions = matrix / np.maximum(matrix.sum(axis=0, keepdims=True), 1)
    fractions[:, -1] = np.nan
    axes.imshow(np.ma.masked_invalid(fractions), cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    if len(labels) <= MAX_CLASSES + 1:
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        for (row, column), count in np.ndenumerate(matrix):
            color = "white" if fractions[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count}", ha="center", va="center", color=color, fontsize="small")
    return figure


def _make_figure(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes


def _columns(history: History, prefix: str) -> list[str]:
    names = (name for row in history for name in row if name.startswith(prefix))
    return list(dict.fromkeys(names))


def _plot_column(axes: Axes, history: History, name: str, label: str) -> None:
    points = [(row["epoch"], row[name]) for row in history if row.get(name) is not None]
    if points:
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, marker="." if len(points) < 40 else None, label=label)
