"""Pages of data: dashboards, tables, calendars, files."""

from __future__ import annotations

from examples.ui_elements.pages.parts import aside, column, div, grid, line, muted, row, shell, table, wide
from examples.ui_elements.random_page import Draw


def _figure(d: Draw) -> str:
    change = f'<span class="x-muted">{d.rng.choice("+-")}{d.rng.randint(1, 40)}%</span>'
    mark = d.icon(size=d.rng.choice([24, 32])) if d.chance(0.5) else ""
    number = d.rng.choice([d.money(), f"{d.rng.randint(2, 9999):,}", f"{d.rng.randint(1, 99)}%"])
    return d.card(line("", f"{muted(d.term(18))}{div(number, kind='x-big')}{change}", mark))


def dashboard(d: Draw) -> str:
    """Draw figures, charts, tables and lists of an overview."""
    figures = grid([_figure(d) for _ in range(d.rng.randint(2, 4))], 150)
    blocks = []
    for _ in range(d.rng.randint(2, 4)):
        head = row(
            d.heading(d.rng.choice([3, 4])),
            d.one([lambda: d.bare_icon("more"), d.link, d.dropdown, lambda: ""]),
            style="x-ends x-still",
        )
        inside = d.one(
            [
                d.chart,
                d.chart,
                lambda: table(d, 3, 4),
                lambda: _list(d),
                lambda: column(d.progress(), d.progress(), d.progress()),
            ]
        )
        blocks.append(d.card(column(head, inside)))
    tabs = d.tabs() if d.chance(0.3) else ""
    notice = d.alert() if d.chance(0.2) else ""
    return shell(d, notice + tabs + figures + grid(blocks, 320), side=0.75)


def _list(d: Draw) -> str:
    lines = []
    for _ in range(d.rng.randint(3, 6)):
        start = d.one([d.face, d.icon, lambda: d.checkbox(" ")])
        end = d.one([d.badge, d.money, lambda: d.bare_icon("more"), lambda: d.link(d.term(8))])
        lines.append(
            f'<div class="x-row x-still">{start}<div class="x-wide">{d.phrase(2, 4)}{muted(d.date())}</div>{end}</div>'
        )
    return f'<div class="x-rows">{"".join(lines)}</div>'


def admin_table(d: Draw) -> str:
    """Draw a table with what filters, changes and turns its pages."""
    tools = d.some(
        [
            d.search,
            d.dropdown,
            d.button,
            d.opener,
            d.icon_button,
            d.dropdown,
            d.text_field,
            lambda: d.checkbox(),
            d.toggle,
        ],
        2,
        3 if d.narrow else 6,
    )
    bar = row(*(f'<div style="max-width:230px" class="x-fill">{tool()}</div>' for tool in tools))
    below = row(muted(f"1-10 / {d.rng.randint(11, 900)}"), d.pager(), style="x-ends")
    tabs = d.tabs() if d.chance(0.35) else ""
    data = table(d, tick=0.55, act=0.7)
    return shell(d, tabs + bar + (d.card(data) if d.chance(0.4) else data) + below, side=0.6)


def calendar(d: Draw) -> str:
    """Draw a month, and what is planned."""
    head = row(
        d.heading(2, d.phrase(1, 1) + " 2026"),
        row(d.icon_button(), d.icon_button(), d.button(), d.dropdown(), style="x-tight"),
        style="x-ends",
    )
    days = "".join(f"<th>{d.term(6)[:3]}</th>" for _ in range(7))
    weeks = "".join(f"<tr>{''.join(_day(d, 7 * week + day) for day in range(7))}</tr>" for week in range(5))
    body = f"<thead><tr>{days}</tr></thead><tbody>{weeks}</tbody>"
    month = f'<table class="x-table x-all" style="table-layout:fixed">{body}</table>'
    lists = column(d.heading(3), *(d.checkbox() for _ in range(d.rng.randint(2, 5))), d.toggle())
    main = month if d.narrow else aside(lists, month, 190)
    return shell(d, head + (d.tabs() if d.chance(0.4) else "") + main, side=0.3, title=False)


def _day(d: Draw, number: int) -> str:
    event = (
        f'<div class="x-badge" style="overflow:hidden;border-radius:3px">{d.phrase(1, 2)}</div>'
        if d.chance(0.18)
        else ""
    )
    high = d.rng.choice([48, 48, 64])
    return f'<td style="height:{high}px;padding:4px;vertical-align:top">{number % 30 + 1}{event}</td>'


def file_manager(d: Draw) -> str:
    """Draw files as a table or as tiles, with what opens, sorts and shares them."""
    tools = row(d.button(), d.opener(), d.icon_button(), d.icon_button(), wide(d.search()), d.dropdown())
    if d.chance(0.5):
        files = table(d, tick=0.9, act=0.9, rows=d.rng.randint(4, 9))
    else:
        files = grid([_tile(d) for _ in range(d.rng.randint(4, 10))], 150)
    used = d.card(column(d.heading(4), d.progress(), muted(d.phrase(2, 5)), d.link()))
    view = row(d.tabs(2, 4), row(d.toggle(), d.slider()), style="x-ends") if d.chance(0.8) else ""
    return shell(d, tools + view + files + (used if d.chance(0.5) else ""), side=0.7)


def _tile(d: Draw) -> str:
    top = d.picture(90) if d.chance(0.5) else f'<div class="x-row x-center">{d.icon(size=d.rng.choice([40, 56]))}</div>'
    return d.card(
        column(
            top,
            row(d.checkbox(" "), f'<div class="x-wide">{d.phrase(1, 2)}</div>', d.bare_icon("more"), style="x-still"),
        )
    )


def board(d: Draw) -> str:
    """Draw tasks in columns."""
    lanes = []
    for _ in range(2 if d.narrow else d.rng.randint(3, 4)):
        tasks = [
            d.card(
                column(
                    f"<div>{d.phrase(3, 8)}</div>",
                    row(d.badge(), d.face(24), d.bare_icon(), style="x-ends x-still"),
                    d.checkbox() if d.chance(0.4) else "",
                )
            )
            for _ in range(d.rng.randint(2, 4))
        ]
        lanes.append(
            column(
                row(d.heading(4), d.bare_icon("more"), style="x-ends x-still"),
                *tasks,
                d.one([d.button, d.ghost]),
            )
        )
    bar = row(d.search(), d.dropdown(), d.button(), d.toggle())
    return shell(d, bar + grid(lanes, 170), side=0.5)
