"""Encode matplotlib figures as PNG, with text in any script."""

from __future__ import annotations

import io
import warnings

from matplotlib.figure import Figure
from matplotlib.text import Text

DPI = 110


def figure_png(figure: Figure) -> bytes:
    """Encode a figure as PNG.

    Glyphs that the font lacks are drawn as empty boxes. `$` does not start a formula.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(stream, format="png", dpi=DPI)
    return stream.getvalue()
