"""Plots of runs of one epoch and of many, with any number and kind of class names."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from training.evaluate.curves import SCORES, Curves
from training.report import plots
from training.report.png import figure_png

ODD_NAMES = ["$x_1$", "_hidden", "<b>", "\N{CJK UNIFIED IDEOGRAPH-4E2D}", "x" * 200, "7", "$", "_", " ", "a,b"]


def history(epochs: int) -> list[dict[str, float]]:
    return [{"epoch": i + 1, "loss/box": 1 / (i + 1), "ap": 0.0, "ap50": 0.1, "lr": 0.01} for i in range(epochs)]


@pytest.mark.parametrize("plot", [plots.loss_figure, plots.ap_figure, plots.learning_rate_figure])
def test_single_epoch_has_a_marker_at_a_whole_number(plot) -> None:
    figure = plot(history(1))
    figure_png(figure)
    [axes] = figure.axes
    assert all(line.get_marker() == "o" for line in axes.get_lines())
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks().tolist() if low <= tick <= high] == [1]


def test_long_curves_have_no_markers_and_whole_epochs() -> None:
    [axes] = plots.loss_figure(history(100)).axes
    assert {line.get_marker() for line in axes.get_lines()} == {"None"}
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_metrics_of_unevaluated_epochs_are_left_out() -> None:
    rows = [{"epoch": 1, "ap": None}, {"epoch": 2}, {"epoch": 3, "ap": 0.5, "ap50": 0.7}]
    [axes] = plots.ap_figure(rows).axes
    assert [list(line.get_xdata()) for line in axes.get_lines()] == [[3], [3]]


@pytest.mark.parametrize("names", [["only"], ODD_NAMES, [f"class {i}" for i in range(12)], ["c"] * 300])
def test_evaluation_plots_accept_any_class_names(names: list[str]) -> None:
    count = len(names)
    curves = Curves(np.zeros((count, len(SCORES))), np.zeros((count, len(SCORES))), np.zeros(count, np.int64))
    precision_recall = plots.precision_recall_figure(np.zeros((101, count)), names)
    f1, confusion = plots.f1_figure(curves, names), plots.confusion_figure(np.eye(count + 1, dtype=np.int64), names)
    for figure in (precision_recall, f1, confusion):
        height, width = decode(figure).shape[:2]
        assert max(height, width) < 1400
    shown = count if count <= plots.MAX_CLASSES else 0
    for figure in (precision_recall, f1):
        legend = figure.axes[0].get_legend()
        assert legend is not None
        assert len(legend.get_texts()) == shown + 1, "every class and the mean"
        assert max(len(text.get_text()) for text in legend.get_texts()) < 40
    labels = [label.get_text() for label in confusion.axes[0].get_yticklabels()]
    assert labels[-1] == "background" if shown else len(labels) < 20


def test_plots_of_classes_without_objects_and_detections() -> None:
    figure = plots.precision_recall_figure(np.full((101, 2), -1.0), ["a", "b"])
    assert decode(figure) is not None


def decode(figure: Figure) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(figure_png(figure), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image
