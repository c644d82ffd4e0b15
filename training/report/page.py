"""Build a self-contained HTML page of headings, paragraphs, tables, plots and images."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

from matplotlib.figure import Figure

from training.report.png import figure_png

MAX_UNBROKEN = 20  # characters of a table cell that are kept on one line
STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; }
figure { margin: 0 0 1.5rem; }
figcaption { font-size: .9rem; opacity: .8; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(28rem, 100%), 1fr)); gap: 1rem; }
.plots > :nth-child(odd):last-child { grid-column: 1 / -1; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin-bottom: 1.5rem; font-variant-numeric: tabular-nums; }
td:first-child { overflow-wrap: anywhere; min-width: 5rem; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
"""


class Page:
    """An HTML page, to which parts are added in order."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """Add a section heading."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str) -> None:
        """Add a paragraph of plain text."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add a table. Floats have four decimals. The value -1 of undefined metrics is shown as a dash."""
        head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
        body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
        self._parts.append(
            f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def plots(self, figures: Iterable[tuple[str, Figure]]) -> None:
        """Add plots side by side, each with a caption."""
        cells = "".join(_figure(figure_png(figure), "image/png", caption) for caption, figure in figures)
        self._parts.append(f'<div class="plots">{cells}</div>')

    def image(self, caption: str, jpeg: bytes) -> None:
        """Add a JPEG image at full width."""
        self._parts.append(_figure(jpeg, "image/jpeg", caption))

    def html(self) -> str:
        """Return the HTML document."""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self._title)}</title><style>{STYLE}</style></head>\n<body>\n"
            + "\n".join(self._parts)
            + "\n</body></html>\n"
        )


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "\N{EN DASH}" if value == -1 else f"{value:.4f}"
    text = html.escape(str(value))
    return text.replace(" ", "&nbsp;") if len(text) <= MAX_UNBROKEN else text


def _figure(image: bytes, media_type: str, caption: str) -> str:
    data = base64.b64encode(image).decode()
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="data:{media_type};base64,{data}"><figcaption>{text}</figcaption></figure>'
