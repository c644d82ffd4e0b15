"""Text of figures as it is drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.report.png import figure_png


def tick_texts(axes: Axes) -> list[str]:
    return [label.get_text() for axis in (axes.xaxis, axes.yaxis) for label in axis.get_ticklabels(which="both")]


@pytest.mark.parametrize(("low", "high"), [(1, 700), (3.5, 10.5), (0.0004, 0.02), (12, 14.5), (5, 5), (1, 10**9)])
def test_log_axes_have_plain_numbers(low: float, high: float) -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([low, high], [low, high])
    axes.set(xscale="log", yscale="log")
    figure_png(figure)
    texts = [text for text in tick_texts(axes) if text]
    assert len(texts) >= 2
    assert [float(text) for text in texts]


def test_dollar_signs_and_missing_glyphs_are_drawn_as_text() -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], label="$broken_{ \N{CJK UNIFIED IDEOGRAPH-4E2D}")
    axes.set_yticks([0, 1], ["$", "$x$"])
    axes.legend()
    image = cv2.imdecode(np.frombuffer(figure_png(figure), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
