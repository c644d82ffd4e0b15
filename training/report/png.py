"""Figures as PNG, whatever the names in them are written in."""

from __future__ import annotations

import io
import warnings

from matplotlib.figure import Figure
from matplotlib.text import Text

DPI = 110


def figure_png(figure: Figure) -> bytes:
    """Encode a figure; letters that the font does not have show as empty frames, and a `$` is a `$`."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(stream, format="png", dpi=DPI)
    return stream.getvalue()
