"""Page types that combine arbitrary components, so that context alone does not identify an element."""

from __future__ import annotations

from collections.abc import Callable

from examples.ui_elements.pages.parts import column, grid, row, shell, table
from examples.ui_elements.random_page import RandomPage


def sampler(page: RandomPage) -> str:
    """Draw rows and cards of random components."""
    makers: list[Callable[[], str]] = [
        page.button, page.icon_button, page.bare_icon, page.ghost, page.link, page.opener,
        page.checkbox, page.toggle, page.badge, page.icon, page.face,
    ]  # fmt: skip
    broad: list[Callable[[], str]] = [
        page.field, page.slider, page.dropdown, page.search, page.area, page.tabs,
        page.progress, page.alert, page.chart, page.image, page.pager,
        lambda: table(page, rows=4), lambda: row(*page.radios()), lambda: page.paragraph(1, 2), page.tabs,
        lambda: page.labeled(page.slider()),
    ]  # fmt: skip
    blocks = []
    for _ in range(page.rng.randint(4, 9)):
        parts = [page.heading(page.rng.choice([2, 3, 4]))] if page.chance(0.6) else []
        for _ in range(page.rng.randint(1, 3)):
            if page.chance(0.5):
                parts.append(row(*(page.one(makers) for _ in range(page.rng.randint(2, 5)))))
            else:
                parts.append(f'<div class="x-fill">{page.one(broad)}</div>')
        blocks.append(page.card(column(*parts)) if page.chance(0.5) else column(*parts))
    return shell(page, grid(blocks, page.rng.choice([220, 300, 420])), side=0.3)


def controls(page: RandomPage) -> str:
    """Draw many of the controls that are rare on other pages."""
    rare = [
        page.toggle,
        page.slider,
        lambda: row(*page.radios()),
        page.checkbox,
        page.dropdown,
        page.tabs,
        lambda: column(*page.radios(3, 4)),
    ]
    cells = []
    for _ in range(page.rng.randint(5, 10)):
        control = page.one(rare)
        cells.append(page.rng.choice([lambda c: f'<div class="x-fill">{c}</div>', page.labeled, page.card])(control))
    return shell(page, grid(cells, page.rng.choice([160, 220, 300])), side=0.3)
