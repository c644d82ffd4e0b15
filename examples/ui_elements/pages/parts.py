"""What pages of many types share: bars, menus, tables and what lies above a page."""

from __future__ import annotations

from collections.abc import Callable

from examples.ui_elements.random_page import Draw, Maker

_TOP = "align-items:flex-start"
_CELL = {"td": "ant-table-cell pf-v6-c-table__td", "th": "ant-table-cell pf-v6-c-table__th"}


def row(*parts: str, style: str = "") -> str:
    """Return parts side by side."""
    return f'<div class="x-row {style}">{"".join(parts)}</div>'


def column(*parts: str) -> str:
    """Return parts one below the other."""
    return f'<div class="x-col">{"".join(parts)}</div>'


def grid(cells: list[str], cell: int = 220) -> str:
    """Return cells in as many columns as fit."""
    return f'<div class="x-grid" style="--cell:{cell}px">{"".join(cells)}</div>'


def div(*parts: str, kind: str = "", style: str = "") -> str:
    """Return parts in a block."""
    return f'<div class="{kind}" style="{style}">{"".join(parts)}</div>'


def line(start: str, middle: str, *ends: str, style: str = "") -> str:
    """Return a line of a list: a mark, a text that takes what is left, and what stands at the end."""
    return div(start, div(middle, kind="x-wide"), *ends, kind="x-row x-still", style=style)


def aside(narrow: str, middle: str, size: int) -> str:
    """Return a column of a width beside a wide one."""
    return div(div(narrow, style=f"width:{size}px"), div(middle, kind="x-wide"), kind="x-row x-still", style=_TOP)


def wide(part: str) -> str:
    """Return a part that takes what is left of its row."""
    return f'<div class="x-wide x-fill">{part}</div>'


def muted(text: str) -> str:
    """Return text of less weight."""
    return f'<div class="x-muted">{text}</div>'


def brand(d: Draw) -> str:
    """Return the name of the site, or its logo, which are links as others."""
    mark = d.icon(size=d.rng.choice([22, 28])) if d.chance(0.5) else ""
    return f'{mark}<a href="#" class="x-brand">{d.phrase(1, 1)[:14]}</a>'


def menu(d: Draw, low: int = 4, high: int = 10) -> str:
    """Return the menu of a sidebar: links, one of them where the page is."""
    count, icons = d.rng.randint(low, high), d.chance(0.65)
    active = d.rng.randrange(count)
    items = []
    for i in range(count):
        if d.chance(0.08):
            items.append(f'<li class="x-muted" style="padding:10px">{d.term(14)}</li>')
        mark = d.icon() if icons else ""
        count_badge = d.badge() if d.chance(0.08) else ""
        items.append(
            f'<li><a href="#" class="x-item{" x-on" if i == active else ""}">{mark}{d.term(16)}{count_badge}</a></li>'
        )
    return f'<ul class="x-list">{"".join(items)}</ul>'


def top_bar(d: Draw, stick: bool = False) -> str:
    """Return the bar at the top of a page."""
    if d.narrow:
        ends = [d.bare_icon() for _ in range(d.rng.randint(0, 2))]
        return _bar(
            [d.bare_icon("menu"), brand(d) if d.chance(0.6) else d.heading(4, d.phrase(1, 2)), _push(ends)], stick
        )
    middle = [d.link(d.term(14)) for _ in range(d.rng.randint(0, 4))]
    if d.chance(0.45):
        middle.append(f'<div class="x-wide x-fill" style="max-width:320px">{d.search()}</div>')
    makers: list[Maker] = [d.bare_icon, d.bare_icon, d.bare_icon, d.button, d.ghost, d.face, d.opener]
    ends = [end() for end in d.some(makers, 1, 4)]
    return _bar([brand(d), *middle, _push(ends)], stick)


def _push(ends: list[str]) -> str:
    return f'<div class="x-push x-row x-still">{"".join(ends)}</div>'


def _bar(parts: list[str], stick: bool) -> str:
    return f'<header class="x-bar x-plain{" x-stick" if stick else ""}">{"".join(parts)}</header>'


def dock(d: Draw) -> str:
    """Return the bar at the bottom of an application on a phone."""
    count = d.rng.randint(3, 5)
    active = d.rng.randrange(count)
    items = (
        f'<a href="#" class="{"x-on" if i == active else ""}">{d.icon(size=22)}{d.term(9)}</a>' for i in range(count)
    )
    return f'<nav class="x-dock">{"".join(items)}</nav>'


def shell(d: Draw, main: str, side: float = 0.5, title: bool = True) -> str:
    """Return a whole page around its main part: a bar, perhaps a menu at the side, perhaps a foot."""
    head = _title(d) if title and d.chance(0.8) else ""
    center = f'<main class="x-main">{head}{main}</main>'
    bar = top_bar(d, stick=d.chance(0.5)) if d.chance(0.88) else ""
    if d.narrow:
        return bar + center + (dock(d) if d.chance(0.35) else "")
    if d.chance(side):
        above = f'<div class="x-row" style="padding:4px 6px 16px">{brand(d)}</div>' if d.chance(0.6) else ""
        aside = f'<aside class="x-side x-plain">{above}{menu(d)}</aside>'
        order = [aside, f'<div style="flex:1;min-width:0">{bar}{center}</div>']
        return f'<div class="x-body">{"".join(order)}</div>'
    return bar + center + (foot(d) if d.chance(0.5) else "")


def _title(d: Draw) -> str:
    extras = d.some([d.button, d.opener, d.icon_button, d.bare_icon], 0, 1 if d.narrow else 3)
    trail = _trail(d) if d.chance(0.25) else ""
    below = muted(d.sentence()) if d.chance(0.3) else ""
    level = d.rng.choice([1, 1, 2, 3])
    return f"<div>{trail}{row(d.heading(level), row(*(extra() for extra in extras)), style='x-ends')}{below}</div>"


def _trail(d: Draw) -> str:
    steps = [d.link(d.term(12)) for _ in range(d.rng.randint(1, 3))] + [f"<span>{d.term(12)}</span>"]
    between = f" <span>{d.rng.choice('/>·|')}</span> "
    return f'<div class="x-row x-tight" style="font-size:.88em">{between.join(steps)}</div>'


def foot(d: Draw) -> str:
    """Return the foot of a page: columns of links."""
    columns = [
        f'{d.heading(d.rng.choice([4, 5]), d.term(14))}<ul class="x-list">'
        + "".join(f"<li>{d.link()}</li>" for _ in range(d.rng.randint(3, 5)))
        + "</ul>"
        for _ in range(d.rng.randint(2, 4))
    ]
    inside = grid([div(one) for one in columns], 130)
    return f'<footer style="padding:24px;border-top:1px solid var(--x-line)">{inside}</footer>'


def table(d: Draw, columns: int = 0, rows: int = 0, tick: float = 0.3, act: float = 0.5) -> str:
    """Return a table of data: words, amounts, dates, badges, perhaps boxes to tick and buttons."""
    ticks, acts = d.chance(tick), d.chance(act)
    makers = _columns(d, columns or d.rng.randint(2, 3 if d.narrow else 6))
    if ticks:
        makers.insert(0, lambda: d.checkbox(" "))
    if acts:
        makers.append(_actions(d))
    head = [" " if (ticks and i == 0) or (acts and i == len(makers) - 1) else d.term(14) for i in range(len(makers))]
    body = "".join(_row([make() for make in makers], "td") for _ in range(rows or d.rng.randint(3, 11)))
    above = f'<thead class="ant-table-thead pf-v6-c-table__thead">{_row(head, "th")}</thead>'
    rows_ = f'{above}<tbody class="ant-table-tbody pf-v6-c-table__tbody">{body}</tbody>'
    return f'<div class="x-scroll">{d.part("table", rows=rows_)}</div>'


def _row(cells: list[str], tag: str) -> str:
    inside = "".join(f'<{tag} class="{_CELL[tag]}">{cell}</{tag}>' for cell in cells)
    return f'<tr class="pf-v6-c-table__tr">{inside}</tr>'


def _columns(d: Draw, count: int) -> list[Callable[[], str]]:
    plain: list[Callable[[], str]] = [
        lambda: d.phrase(1, 3),
        d.money,
        d.date,
        d.name,
        lambda: str(d.rng.randint(1, 900)),
    ]
    rich: list[Callable[[], str]] = [
        lambda: d.link(d.phrase(1, 3)),
        d.badge,
        d.progress,
        lambda: row(d.face(28), d.name(), style="x-still x-tight"),
        lambda: d.toggle(" "),
        lambda: d.icon(),
    ]
    weights = [3, 2.5, 0.7, 1.3, 0.7, 0.7]
    chosen = [d.rng.choice(plain) for _ in range(count - count // 3)] + d.rng.choices(rich, weights, k=count // 3)
    d.rng.shuffle(chosen)
    return chosen


def _actions(d: Draw) -> Callable[[], str]:
    kind = d.rng.randrange(4)
    meaning = d.rng.choice(["more", ""])
    small = {"size": d.kit.sizes[-1] if len(d.kit.sizes) > 1 else ""}
    label = d.term(9)
    return (
        lambda: d.bare_icon(meaning),
        lambda: row(d.bare_icon(), d.bare_icon(), style="x-still x-tight"),
        lambda: d.part("button", text=label, **small),
        lambda: d.link(label),
    )[kind]


def overlays(d: Draw) -> str:
    """Return what lies above a page, most often nothing: a dialog, a drawer, a menu, a toast, a round button."""
    drawn = d.rng.random()
    if drawn < 0.07:
        return div(div(_dialog(d), kind="x-dialog", style=f"--wide:{d.rng.choice([320, 420, 520])}px"), kind="x-veil")
    if drawn < 0.1 and d.narrow:
        return div(div(brand(d), div(style="height:14px"), menu(d), kind="x-drawer x-plain"), kind="x-veil")
    if drawn < 0.18:
        return _open_menu(d)
    if drawn < 0.26:
        return _toast(d)
    if drawn < 0.32:
        return f'<div class="x-float">{d.part("icon_button", icon=d.icon(size=22), tone=d.kit.tones[0])}</div>'
    if drawn < 0.36:
        return div(wide(d.sentence()), d.button(), kind="x-toast x-banner")
    return ""


def _dialog(d: Draw) -> str:
    body = d.one([
        lambda: d.paragraph(1, 2, 0),
        lambda: "".join(d.field() for _ in range(d.rng.randint(1, 4))),
        lambda: column(*d.radios(3, 5)),
        lambda: column(*(d.checkbox() for _ in range(4))),
        lambda: d.picture(),
        lambda: column(d.slider(), d.toggle(), d.toggle()),
    ])  # fmt: skip
    head = row(d.heading(d.rng.choice([3, 4])), d.bare_icon("close"), style="x-ends x-still")
    ends = [d.one([d.ghost, d.button]), d.button()][d.rng.randint(0, 1) :]
    return f'{head}<div class="x-col">{body}</div>{row(*ends, style=d.rng.choice(["", "x-ends", "x-center"]))}'


def _open_menu(d: Draw) -> str:
    icons = d.chance(0.5)
    items = [d.part("menu_item", icon=d.icon() if icons else "", text=d.term(18)) for _ in range(d.rng.randint(3, 7))]
    place = f"top:{d.rng.randint(50, 260)}px;inset-inline-{d.rng.choice(['start', 'end'])}:{d.rng.randint(14, 120)}px"
    return f'<div class="x-over x-plain" style="{place}">{d.part("menu", items="".join(items))}</div>'


def _toast(d: Draw) -> str:
    place = d.rng.choice(
        ["bottom:20px;left:20px", "bottom:20px;right:20px", "top:16px;right:16px", "bottom:24px;left:20%"]
    )
    end = d.one([lambda: d.bare_icon("close"), lambda: d.link(d.term(10)), lambda: ""])
    mark = d.icon() if d.chance(0.5) else ""
    return div(mark, f"<span>{d.phrase(2, 5)}</span>", end, kind="x-toast", style=place)
