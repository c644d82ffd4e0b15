"""Encode matplotlib figures as SVG within a page: text stays text, and black becomes the text color of the page."""

from __future__ import annotations

import html
import io
import re
import warnings
from typing import Any, Final

import matplotlib
from matplotlib.figure import Figure

from training.report.png import prepare

IMAGE_DPI: Final = 144  # of parts that are images within the SVG
METADATA: Final[dict[str, Any]] = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def figure_svg(figure: Figure, alternative: str, key: str) -> str:
    """Encode a figure as an `<svg>` element.

    Args:
        figure: The figure.
        alternative: Description for those who cannot see it.
        key: Unique in the page, for the names that the elements refer to.
    """
    prepare(figure)
    stream = io.StringIO()
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": key}):
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(stream, format="svg", transparent=True, dpi=IMAGE_DPI, metadata=METADATA)
    _, _, body = stream.getvalue().partition("</defs>")  # the first one has a style for all pages
    width, height = 72 * figure.get_size_inches()
    name = html.escape(alternative)
    return f'<svg role="img" aria-label="{name}" viewBox="0 0 {width:g} {height:g}">{_compact(body)}'


def _compact(svg: str) -> str:
    """Shorten numbers, drop the names that no element refers to, and draw black in the color of the page's text."""
    used = set(re.findall(r"#([\w.-]+)", svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda match: match[0] if match[1] in used else "", svg)
    svg = re.sub(r"<[^>]*>", lambda match: re.sub(r"(\d\.\d\d)\d+", r"\1", match[0]), svg)
    return re.sub(r"\s*\n\s*", "\n", svg.replace("#000000", "currentColor"))
