"""Design systems, read from tables of markup.

A template is a string for `str.format`. If a component has several, one is chosen at random. A component without a
template in a system uses that of `plain.toml`: plain HTML controls, which the system may style.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class KitTheme:
    """One theme of a design system."""

    sheets: tuple[str, ...]
    """Style sheets in `node_modules`."""

    attributes: str = ""
    """Attributes of `<html>`."""

    body: str = ""
    """Classes of `<body>`."""

    dark: bool = False
    """Whether the theme is dark."""


@dataclass(frozen=True)
class Kit:
    """A design system."""

    name: str
    """Name of its file without `.toml`."""

    themes: tuple[KitTheme, ...]
    """Themes, of which a page uses one."""

    templates: dict[str, list[str]]
    """Markup by component."""

    tones: tuple[str, ...]
    """Names for the colors of buttons, the plainest first."""

    sizes: tuple[str, ...]
    """Suffixes of a button's class."""

    own: frozenset[str]
    """Components that sometimes use the markup of `generic` instead."""

    css: str
    """Additional style rules."""

    def variants(self, component: str) -> list[str]:
        """Return the templates of a component."""
        return self.templates.get(component) or kit("plain").templates[component]


@functools.cache
def kit(name: str) -> Kit:
    """Return the design system of the file `<name>.toml`."""
    table = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    themes = tuple(
        KitTheme(**(theme | {"sheets": tuple(theme["sheets"])})) for theme in table.get("themes", [{"sheets": []}])
    )
    return Kit(
        name,
        themes,
        table["templates"],
        tuple(table.get("tones", [""])),
        tuple(table.get("sizes", [""])),
        frozenset(table.get("own", [])),
        table.get("css", ""),
    )
