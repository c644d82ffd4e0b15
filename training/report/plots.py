"""The plots of a run and of an evaluation, as matplotlib figures; nothing here opens a window or keeps state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluate.curves import SCORES, Curves

History = Sequence[Mapping[str, float]]  # one row per epoch
MAX_CLASSES: Final = 20  # that a legend names; of more, the mean alone is drawn
RECALLS: Final = np.linspace(0, 1, 101)


def losses_figure(history: History) -> Figure:
    """Draw every part of the loss over the epochs."""
    figure, axes = _figure("epoch", "loss")
    for name in _columns(history, "loss/"):
        _line(axes, history, name, name.removeprefix("loss/"))
    axes.legend()
    return figure


def metrics_figure(history: History) -> Figure:
    """Draw AP and AP50 over the epochs."""
    figure, axes = _figure("epoch", "average precision")
    for name, label in (("ap50", "AP50"), ("ap", "AP")):
        _line(axes, history, name, label)
    axes.set_ylim(0, 1)
    axes.legend()
    return figure


def rate_figure(history: History) -> Figure:
    """Draw the learning rate over the epochs."""
    figure, axes = _figure("epoch", "learning rate")
    _line(axes, history, "lr", "lr")
    return figure


def precision_recall_figure(precision: NDArray[np.float64], class_names: Sequence[str]) -> Figure:
    """Draw precision over recall at IoU 0.5 from COCO's points (101, classes); -1 is a class without objects."""
    figure, axes = _figure("recall", "precision at IoU 0.5")
    known = [i for i in range(len(class_names)) if (precision[:, i] >= 0).any()]
    if len(known) <= MAX_CLASSES:
        for i in known:
            axes.plot(RECALLS, precision[:, i], linewidth=1, label=f"{class_names[i]} {precision[:, i].mean():.3f}")
    if known:
        mean = precision[:, known].mean(axis=1)
        axes.plot(RECALLS, mean, color="black", linewidth=2.5, label=f"all classes {mean.mean():.3f}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize="small")
    return figure


def f1_figure(curves: Curves, class_names: Sequence[str]) -> Figure:
    """Draw F1 over the score, and the score with the best mean."""
    figure, axes = _figure("score", "F1 at IoU 0.5")
    if len(class_names) <= MAX_CLASSES:
        for label, row in zip(class_names, curves.f1, strict=True):
            axes.plot(SCORES, row, linewidth=1, label=label)
    mean, best = curves.mean_f1, curves.best
    axes.plot(SCORES, mean, color="black", linewidth=2.5, label=f"mean, {mean[best]:.3f} at score {SCORES[best]:.3f}")
    axes.axvline(SCORES[best], color="black", linewidth=0.8, linestyle=":")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize="small")
    return figure


def confusion_figure(matrix: NDArray[np.int64], class_names: Sequence[str]) -> Figure:
    """Draw what is taken for what, shaded by the share of a class; the last column has no such share."""
    figure, axes = _figure("true", "detected as")
    labels = [*class_names, "background"]
    shares = matrix / np.maximum(matrix.sum(axis=0, keepdims=True), 1)
    shares[:, -1] = np.nan
    axes.imshow(np.ma.masked_invalid(shares), cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    if len(labels) <= MAX_CLASSES + 1:
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        for (row, column), count in np.ndenumerate(matrix):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count}", ha="center", va="center", color=color, fontsize="small")
    return figure


def _figure(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes


def _columns(history: History, prefix: str) -> list[str]:
    names = (name for row in history for name in row if name.startswith(prefix))
    return list(dict.fromkeys(names))


def _line(axes: Axes, history: History, name: str, label: str) -> None:
    points = [(row["epoch"], row[name]) for row in history if row.get(name) is not None]
    if points:
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, marker="." if len(points) < 40 else None, label=label)
