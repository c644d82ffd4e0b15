"""Build a self-contained HTML page: a summary, a table of contents, and sections of text, tables, plots and images."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from matplotlib.figure import Figure

from training.report.svg import figure_svg

STYLE: Final = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
CODE: Final = re.compile("`([^`]+)`")
MAX_UNBROKEN: Final = 20  # characters of a table cell that are kept on one line
WIDE: Final = 6  # inches; wider plots take the place of two


class Tile(NamedTuple):
    """A key figure of the summary."""

    label: str
    """Name of the figure."""
    value: str
    """The figure."""
    note: str = ""
    """A detail, in small letters."""


class Page:
    """An HTML page. Parts are added in order, to the section of the last heading."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._header = [f"<h1>{html.escape(title)}</h1>"]
        self._sections: list[tuple[str, list[str]]] = []

    def summary(self, sentence: str, tiles: Iterable[Tile]) -> None:
        """Add a sentence and key figures to the top of the page."""
        cells = "".join(
            f'<div><dt>{html.escape(label)}</dt><dd class="value">{html.escape(value)}</dd>'
            + f'<dd class="note">{html.escape(note)}</dd></div>'
            for label, value, note in tiles
        )
        self._header.append(f'<p class="lead">{html.escape(sentence)}</p><dl class="tiles">{cells}</dl>')

    def heading(self, text: str) -> None:
        """Begin a section, which the table of contents lists."""
        self._sections.append((text, []))

    def subheading(self, text: str) -> None:
        """Add a heading within a section."""
        self._add(f"<h3>{html.escape(text)}</h3>")

    def paragraph(self, text: str) -> None:
        """Add a paragraph of plain text. Names in backticks become code."""
        text = CODE.sub(r"<code>\1</code>", html.escape(text))
        self._add(f"<p>{text}</p>")

    def notice(self, text: str) -> None:
        """Add a paragraph that stands out: something is wrong."""
        self._add(f'<p class="notice">{html.escape(text)}</p>')

    def table(
        self, header: Sequence[str], rows: Iterable[Sequence[object]], bars: Collection[str] = (), folded: str = ""
    ) -> None:
        """Add a table. Floats have four decimals. The value -1 of undefined metrics is shown as a dash.

        Args:
            header: Names of the columns.
            rows: Cells of each row.
            bars: Columns with values from 0 to 1 that are also drawn as bars.
            folded: If not empty, the table is hidden until this text is chosen.
        """
        head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
        cells = (zip(row, header, strict=True) for row in rows)
        body = "".join(f"<tr>{''.join(_cell(value, name in bars) for value, name in row)}</tr>" for row in cells)
        table = (
            f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )
        self._add(f"<details><summary>{html.escape(folded)}</summary>{table}</details>" if folded else table)

    def plots(self, figures: Iterable[tuple[str, Figure]]) -> None:
        """Add plots side by side, each with a caption."""
        cells = "".join(
            _figure(figure_svg(figure, caption, f"{len(self._sections)}-{i}"), caption, figure.get_figwidth() > WIDE)
            for i, (caption, figure) in enumerate(figures)
        )
        self._add(f'<div class="plots">{cells}</div>')

    def images(self, images: Iterable[tuple[str, bytes]]) -> None:
        """Add JPEG images side by side, each with a caption."""
        cells = "".join(_figure(_image(jpeg, caption), caption) for caption, jpeg in images)
        self._add(f'<div class="images">{cells}</div>')

    def image(self, caption: str, jpeg: bytes) -> None:
        """Add a JPEG image at full width."""
        self._add(_figure(_image(jpeg, caption), caption))

    def html(self) -> str:
        """Return the HTML document. Bytes of file names that are no text are escaped."""
        names = [_identifier(title, i) for i, (title, _) in enumerate(self._sections)]
        links = "".join(
            f'<li><a href="#{name}">{html.escape(title)}</a></li>'
            for name, (title, _) in zip(names, self._sections, strict=True)
        )
        sections = "\n".join(
            f'<section aria-labelledby="{name}"><h2 id="{name}">{html.escape(title)}</h2>\n'
            + "\n".join(parts)
            + "</section>"
            for name, (title, parts) in zip(names, self._sections, strict=True)
        )
        document = (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self._title)}</title><style>\n{STYLE}</style></head>\n<body>\n"
            f"<header>{''.join(self._header)}</header>\n"
            f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n<main>\n{sections}\n</main>\n</body></html>\n'
        )
        return document.encode(errors="backslashreplace").decode()

    def _add(self, part: str) -> None:
        (self._sections[-1][1] if self._sections else self._header).append(part)


def _identifier(title: str, index: int) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or f"section-{index}"


def _cell(value: object, is_bar: bool) -> str:
    if isinstance(value, float):
        text = "\N{EN DASH}" if value == -1 else f"{value:.4f}"
        return (
            f'<td class="bar" style="--part: {100 * value:.1f}%">{text}</td>'
            if is_bar and value >= 0
            else f"<td>{text}</td>"
        )
    text = str(value)
    return f"<td{' class=long' if len(text) > MAX_UNBROKEN else ''}>{html.escape(text)}</td>"


def _image(jpeg: bytes, alternative: str) -> str:
    return f'<img alt="{html.escape(alternative)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'


def _figure(content: str, caption: str, is_wide: bool = False) -> str:
    return (
        f"<figure{' class=broad' if is_wide else ''}>{content}<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
