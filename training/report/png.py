"""Encode matplotlib figures as PNG, with text in any script."""

from __future__ import annotations

import io
import warnings

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import AutoLocator, FuncFormatter, Locator, LogLocator, NullFormatter

DPI = 140
MIN_LABELS = 3
MAX_RATIO = 1e4  # of a log axis with labels between powers of ten


def figure_png(figure: Figure) -> bytes:
    """Encode a figure as PNG. Glyphs that the font lacks are drawn as empty boxes."""
    prepare(figure)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(stream, format="png", dpi=DPI)
    return stream.getvalue()


def prepare(figure: Figure) -> None:
    """Make text of a figure plain: `$` does not start a formula, and log axes have plain numbers."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if axis.get_scale() == "log":
            _label_plainly(axis)
    for text in figure.findobj(Text):
        text.set_parse_math(False)


def _label_plainly(axis: Axis) -> None:
    """Label a log axis with plain numbers at 1, 2 and 5 times the powers of ten. matplotlib's labels are formulas."""
    low, high = sorted(axis.get_view_interval())
    locator: Locator = LogLocator(subs=(1, 2, 5) if high < low * MAX_RATIO else (1,))
    if sum(low <= tick <= high for tick in locator.tick_values(low, high)) < MIN_LABELS:
        locator = AutoLocator()
    axis.set_major_locator(locator)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
