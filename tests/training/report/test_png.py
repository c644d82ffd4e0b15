"""Text of figures as it is drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from training.report.png import figure_png


@pytest.mark.parametrize(
    ("low", "high"), [(1, 700), (3.5, 10.5), (0.0004, 0.02), (12, 14.5), (5.8, 17), (5, 5), (1, 10**9)]
)
def test_log_axes_have_plain_numbers(low: float, high: float) -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([low, high], [low, high])
    axes.set(xscale="log", yscale="log")
    figure_png(figure)
    for axis in (axes.xaxis, axes.yaxis):
        shown = [float(text.get_text()) for text in axis.get_ticklabels(which="both") if text.get_text()]
        low, high = axis.get_view_interval()
        assert sum(low <= value <= high for value in shown) >= 2, shown


def test_dollar_signs_and_missing_glyphs_are_drawn_as_text() -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], label="$broken_{ \N{CJK UNIFIED IDEOGRAPH-4E2D}")
    axes.set_yticks([0, 1], ["$", "$x$"])
    axes.legend()
    image = cv2.imdecode(np.frombuffer(figure_png(figure), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
