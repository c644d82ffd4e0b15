"""Parts that page types share: bars, menus, tables and overlays."""

from __future__ import annotations

from collections.abc import Callable

from examples.ui_elements.random_page import Maker, RandomPage

_TOP = "align-items:flex-start"
_CELL = {"td": "ant-table-cell pf-v6-c-table__td", "th": "ant-table-cell pf-v6-c-table__th"}


def row(*parts: str, style: str = "") -> str:
    """Return parts in a row."""
    return f'<div class="x-row {style}">{"".join(parts)}</div>'


def column(*parts: str) -> str:
    """Return parts in a column."""
    return f'<div class="x-col">{"".join(parts)}</div>'


def grid(cells: list[str], cell: int = 220) -> str:
    """Return cells in as many columns as fit."""
    return f'<div class="x-grid" style="--cell:{cell}px">{"".join(cells)}</div>'


def div(*parts: str, kind: str = "", style: str = "") -> str:
    """Return parts in a block element."""
    return f'<div class="{kind}" style="{style}">{"".join(parts)}</div>'


def line(start: str, middle: str, *ends: str, style: str = "") -> str:
    """Return a line of a list: a mark, a text that fills the line, and parts at its end."""
    return div(start, div(middle, kind="x-wide"), *ends, kind="x-row x-still", style=style)


def aside(narrow: str, middle: str, size: int) -> str:
    """Return a column of fixed width next to a wide one."""
    return div(div(narrow, style=f"width:{size}px"), div(middle, kind="x-wide"), kind="x-row x-still", style=_TOP)


def wide(part: str) -> str:
    """Return a part that fills the rest of its row."""
    return f'<div class="x-wide x-fill">{part}</div>'


def muted(text: str) -> str:
    """Return muted text."""
    return f'<div class="x-muted">{text}</div>'


def brand(page: RandomPage) -> str:
    """Return the name of the site, sometimes with a logo. It is a link like others."""
    mark = page.icon(size=page.rng.choice([22, 28])) if page.chance(0.5) else ""
    return f'{mark}<a href="#" class="x-brand">{page.phrase(1, 1)[:14]}</a>'


def menu(page: RandomPage, low: int = 4, high: int = 10) -> str:
    """Return the menu of a sidebar: links, one of them active."""
    count, icons = page.rng.randint(low, high), page.chance(0.65)
    active = page.rng.randrange(count)
    items = []
    for i in range(count):
        if page.chance(0.08):
            items.append(f'<li class="x-muted" style="padding:10px">{page.term(14)}</li>')
        mark = page.icon() if icons else ""
        count_badge = page.badge() if page.chance(0.08) else ""
        kind = f"x-item{' x-on' if i == active else ''}"
        items.append(f'<li><a href="#" class="{kind}">{mark}{page.term(16)}{count_badge}</a></li>')
    return f'<ul class="x-list">{"".join(items)}</ul>'


def top_bar(page: RandomPage, stick: bool = False) -> str:
    """Return the bar at the top of a page."""
    if page.narrow:
        ends = [page.bare_icon() for _ in range(page.rng.randint(0, 2))]
        return _bar(
            [
                page.bare_icon("menu"),
                brand(page) if page.chance(0.6) else page.heading(4, page.phrase(1, 2)),
                _push(ends),
            ],
            stick,
        )
    middle = [page.link(page.term(14)) for _ in range(page.rng.randint(0, 4))]
    if page.chance(0.45):
        middle.append(f'<div class="x-wide x-fill" style="max-width:320px">{page.search()}</div>')
    makers: list[Maker] = [
        page.bare_icon,
        page.bare_icon,
        page.bare_icon,
        page.button,
        page.ghost,
        page.face,
        page.opener,
    ]
    ends = [end() for end in page.some(makers, 1, 4)]
    return _bar([brand(page), *middle, _push(ends)], stick)


def _push(ends: list[str]) -> str:
    return f'<div class="x-push x-row x-still">{"".join(ends)}</div>'


def _bar(parts: list[str], stick: bool) -> str:
    return f'<header class="x-bar x-plain{" x-stick" if stick else ""}">{"".join(parts)}</header>'


def dock(page: RandomPage) -> str:
    """Return the bottom bar of a mobile application."""
    count = page.rng.randint(3, 5)
    active = page.rng.randrange(count)
    items = (
        f'<a href="#" class="{"x-on" if i == active else ""}">{page.icon(size=22)}{page.term(9)}</a>'
        for i in range(count)
    )
    return f'<nav class="x-dock">{"".join(items)}</nav>'


def shell(page: RandomPage, main: str, side: float = 0.5, title: bool = True) -> str:
    """Return a page around its main part: a top bar, sometimes a sidebar, sometimes a footer."""
    head = _title(page) if title and page.chance(0.8) else ""
    center = f'<main class="x-main">{head}{main}</main>'
    bar = top_bar(page, stick=page.chance(0.5)) if page.chance(0.88) else ""
    if page.narrow:
        return bar + center + (dock(page) if page.chance(0.35) else "")
    if page.chance(side):
        above = f'<div class="x-row" style="padding:4px 6px 16px">{brand(page)}</div>' if page.chance(0.6) else ""
        aside = f'<aside class="x-side x-plain">{above}{menu(page)}</aside>'
        return f'<div class="x-body">{aside}<div style="flex:1;min-width:0">{bar}{center}</div></div>'
    return bar + center + (foot(page) if page.chance(0.5) else "")


def _title(page: RandomPage) -> str:
    extras = page.some([page.button, page.opener, page.icon_button, page.bare_icon], 0, 1 if page.narrow else 3)
    trail = _trail(page) if page.chance(0.25) else ""
    below = muted(page.sentence()) if page.chance(0.3) else ""
    level = page.rng.choice([1, 1, 2, 3])
    return f"<div>{trail}{row(page.heading(level), row(*(extra() for extra in extras)), style='x-ends')}{below}</div>"


def _trail(page: RandomPage) -> str:
    steps = [page.link(page.term(12)) for _ in range(page.rng.randint(1, 3))] + [f"<span>{page.term(12)}</span>"]
    between = f" <span>{page.rng.choice('/>·|')}</span> "
    return f'<div class="x-row x-tight" style="font-size:.88em">{between.join(steps)}</div>'


def foot(page: RandomPage) -> str:
    """Return a footer with columns of links."""
    columns = [
        f'{page.heading(page.rng.choice([4, 5]), page.term(14))}<ul class="x-list">'
        + "".join(f"<li>{page.link()}</li>" for _ in range(page.rng.randint(3, 5)))
        + "</ul>"
        for _ in range(page.rng.randint(2, 4))
    ]
    inside = grid([div(one) for one in columns], 130)
    return f'<footer style="padding:24px;border-top:1px solid var(--x-line)">{inside}</footer>'


def table(page: RandomPage, columns: int = 0, rows: int = 0, tick: float = 0.3, act: float = 0.5) -> str:
    """Return a data table: words, amounts, dates, badges, sometimes checkboxes and actions."""
    ticks, acts = page.chance(tick), page.chance(act)
    makers = _columns(page, columns or page.rng.randint(2, 3 if page.narrow else 6))
    if ticks:
        makers.insert(0, lambda: page.checkbox(" "))
    if acts:
        makers.append(_actions(page))
    head = [" " if (ticks and i == 0) or (acts and i == len(makers) - 1) else page.term(14) for i in range(len(makers))]
    body = "".join(_row([make() for make in makers], "td") for _ in range(rows or page.rng.randint(3, 11)))
    above = f'<thead class="ant-table-thead pf-v6-c-table__thead">{_row(head, "th")}</thead>'
    rows_ = f'{above}<tbody class="ant-table-tbody pf-v6-c-table__tbody">{body}</tbody>'
    return f'<div class="x-scroll">{page.part("table", rows=rows_)}</div>'


def _row(cells: list[str], tag: str) -> str:
    inside = "".join(f'<{tag} class="{_CELL[tag]}">{cell}</{tag}>' for cell in cells)
    return f'<tr class="pf-v6-c-table__tr">{inside}</tr>'


def _columns(page: RandomPage, count: int) -> list[Callable[[], str]]:
    plain: list[Callable[[], str]] = [
        lambda: page.phrase(1, 3),
        page.money,
        page.date,
        page.name,
        lambda: str(page.rng.randint(1, 900)),
    ]
    rich: list[Callable[[], str]] = [
        lambda: page.link(page.phrase(1, 3)),
        page.badge,
        page.progress,
        lambda: row(page.face(28), page.name(), style="x-still x-tight"),
        lambda: page.toggle(" "),
        lambda: page.icon(),
    ]
    weights = [3, 2.5, 0.7, 1.3, 0.7, 0.7]
    chosen = [page.rng.choice(plain) for _ in range(count - count // 3)] + page.rng.choices(rich, weights, k=count // 3)
    page.rng.shuffle(chosen)
    return chosen


def _actions(page: RandomPage) -> Callable[[], str]:
    kind = page.rng.randrange(4)
    meaning = page.rng.choice(["more", ""])
    small = {"size": page.kit.sizes[-1] if len(page.kit.sizes) > 1 else ""}
    label = page.term(9)
    return (
        lambda: page.bare_icon(meaning),
        lambda: row(page.bare_icon(), page.bare_icon(), style="x-still x-tight"),
        lambda: page.part("button", text=label, **small),
        lambda: page.link(label),
    )[kind]


def overlays(page: RandomPage) -> str:
    """Return an overlay, or most often nothing: a dialog, drawer, menu, toast or round button."""
    drawn = page.rng.random()
    if drawn < 0.07:
        return div(
            div(_dialog(page), kind="x-dialog", style=f"--wide:{page.rng.choice([320, 420, 520])}px"), kind="x-veil"
        )
    if drawn < 0.1 and page.narrow:
        return div(div(brand(page), div(style="height:14px"), menu(page), kind="x-drawer x-plain"), kind="x-veil")
    if drawn < 0.18:
        return _open_menu(page)
    if drawn < 0.26:
        return _toast(page)
    if drawn < 0.32:
        return f'<div class="x-float">{page.part("icon_button", icon=page.icon(size=22), tone=page.kit.tones[0])}</div>'
    if drawn < 0.36:
        return div(wide(page.sentence()), page.button(), kind="x-toast x-banner")
    return ""


def _dialog(page: RandomPage) -> str:
    body = page.one([
        lambda: page.paragraph(1, 2, 0),
        lambda: "".join(page.field() for _ in range(page.rng.randint(1, 4))),
        lambda: column(*page.radios(3, 5)),
        lambda: column(*(page.checkbox() for _ in range(4))),
        lambda: page.image(),
        lambda: column(page.slider(), page.toggle(), page.toggle()),
    ])  # fmt: skip
    head = row(page.heading(page.rng.choice([3, 4])), page.bare_icon("close"), style="x-ends x-still")
    ends = [page.one([page.ghost, page.button]), page.button()][page.rng.randint(0, 1) :]
    return f'{head}<div class="x-col">{body}</div>{row(*ends, style=page.rng.choice(["", "x-ends", "x-center"]))}'


def _open_menu(page: RandomPage) -> str:
    icons = page.chance(0.5)
    items = [
        page.part("menu_item", icon=page.icon() if icons else "", text=page.term(18))
        for _ in range(page.rng.randint(3, 7))
    ]
    top, side, inset = page.rng.randint(50, 260), page.rng.choice(["start", "end"]), page.rng.randint(14, 120)
    place = f"top:{top}px;inset-inline-{side}:{inset}px"
    return f'<div class="x-over x-plain" style="{place}">{page.part("menu", items="".join(items))}</div>'


def _toast(page: RandomPage) -> str:
    place = page.rng.choice(
        ["bottom:20px;left:20px", "bottom:20px;right:20px", "top:16px;right:16px", "bottom:24px;left:20%"]
    )
    end = page.one([lambda: page.bare_icon("close"), lambda: page.link(page.term(10)), lambda: ""])
    mark = page.icon() if page.chance(0.5) else ""
    return div(mark, f"<span>{page.phrase(2, 5)}</span>", end, kind="x-toast", style=place)
