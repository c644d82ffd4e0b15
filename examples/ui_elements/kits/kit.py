"""What a design system is to the generator: a table of markup.

A template is a string for `str.format`; where a component has several, one is drawn at random. What a system has no
template for is drawn by `plain.toml`: the plain controls of HTML, which the system may style.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Look:
    """One theme of a system: style sheets below `node_modules`, attributes of `<html>` and classes of `<body>`."""

    sheets: tuple[str, ...]
    attributes: str = ""
    body: str = ""
    dark: bool = False


@dataclass(frozen=True)
class Kit:
    """A design system.

    `tones` are its words for the colors of buttons, the plainest first; `sizes` are added to a button's class; `own`
    are components that are drawn by `house` now and then, too.
    """

    name: str
    looks: tuple[Look, ...]
    templates: dict[str, list[str]]
    tones: tuple[str, ...]
    sizes: tuple[str, ...]
    own: frozenset[str]
    css: str

    def variants(self, component: str) -> list[str]:
        """Return the templates of a component."""
        return self.templates.get(component) or kit("plain").templates[component]


@functools.cache
def kit(name: str) -> Kit:
    """Return the design system of the file `<name>.toml`."""
    told = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    looks = tuple(Look(**(look | {"sheets": tuple(look["sheets"])})) for look in told.get("looks", [{"sheets": []}]))
    return Kit(
        name,
        looks,
        told["templates"],
        tuple(told.get("tones", [""])),
        tuple(told.get("sizes", [""])),
        frozenset(told.get("own", [])),
        told.get("css", ""),
    )
