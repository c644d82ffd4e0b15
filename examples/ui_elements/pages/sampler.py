"""Pages of no type: any components beside each other, so that none is known by its neighbors alone."""

from __future__ import annotations

from collections.abc import Callable

from examples.ui_elements.pages.parts import column, grid, row, shell, table
from examples.ui_elements.random_page import Draw


def sampler(d: Draw) -> str:
    """Draw rows and cards of components drawn at random."""
    makers: list[Callable[[], str]] = [
        d.button, d.icon_button, d.bare_icon, d.ghost, d.link, d.opener, d.checkbox, d.toggle, d.badge, d.icon, d.face,
    ]  # fmt: skip
    broad: list[Callable[[], str]] = [
        d.field, d.slider, d.dropdown, d.search, d.area, d.tabs, d.progress, d.alert, d.chart, d.picture, d.pager,
        lambda: table(d, rows=4), lambda: row(*d.radios()), lambda: d.paragraph(1, 2), d.tabs,
        lambda: d.labeled(d.slider()),
    ]  # fmt: skip
    blocks = []
    for _ in range(d.rng.randint(4, 9)):
        parts = [d.heading(d.rng.choice([2, 3, 4]))] if d.chance(0.6) else []
        for _ in range(d.rng.randint(1, 3)):
            if d.chance(0.5):
                parts.append(row(*(d.one(makers) for _ in range(d.rng.randint(2, 5)))))
            else:
                parts.append(f'<div class="x-fill">{d.one(broad)}</div>')
        blocks.append(d.card(column(*parts)) if d.chance(0.5) else column(*parts))
    return shell(d, grid(blocks, d.rng.choice([220, 300, 420])), side=0.3)


def controls(d: Draw) -> str:
    """Draw many of the controls that other pages have few of."""
    rare = [
        d.toggle,
        d.slider,
        lambda: row(*d.radios()),
        d.checkbox,
        d.dropdown,
        d.tabs,
        lambda: column(*d.radios(3, 4)),
    ]
    cells = []
    for _ in range(d.rng.randint(5, 10)):
        control = d.one(rare)
        cells.append(d.rng.choice([lambda c: f'<div class="x-fill">{c}</div>', d.labeled, d.card])(control))
    return shell(d, grid(cells, d.rng.choice([160, 220, 300])), side=0.3)
