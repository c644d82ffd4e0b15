"""Page types with data: dashboards, tables, calendars, files."""

from __future__ import annotations

from examples.ui_elements.pages.parts import aside, column, div, grid, line, muted, row, shell, table, wide
from examples.ui_elements.random_page import Maker, RandomPage


def _figure(page: RandomPage) -> str:
    change = f'<span class="x-muted">{page.rng.choice("+-")}{page.rng.randint(1, 40)}%</span>'
    mark = page.icon(size=page.rng.choice([24, 32])) if page.chance(0.5) else ""
    number = page.rng.choice([page.money(), f"{page.rng.randint(2, 9999):,}", f"{page.rng.randint(1, 99)}%"])
    return page.card(line("", f"{muted(page.term(18))}{div(number, kind='x-big')}{change}", mark))


def dashboard(page: RandomPage) -> str:
    """Draw a dashboard: figures, charts, tables and lists."""
    figures = grid([_figure(page) for _ in range(page.rng.randint(2, 4))], 150)
    blocks = []
    for _ in range(page.rng.randint(2, 4)):
        head = row(
            page.heading(page.rng.choice([3, 4])),
            page.one([lambda: page.bare_icon("more"), page.link, page.dropdown, lambda: ""]),
            style="x-ends x-still",
        )
        inside = page.one(
            [
                page.chart,
                page.chart,
                lambda: table(page, 3, 4),
                lambda: _list(page),
                lambda: column(page.progress(), page.progress(), page.progress()),
            ]
        )
        blocks.append(page.card(column(head, inside)))
    tabs = page.tabs() if page.chance(0.3) else ""
    notice = page.alert() if page.chance(0.2) else ""
    return shell(page, notice + tabs + figures + grid(blocks, 320), side=0.75)


def _list(page: RandomPage) -> str:
    lines = []
    for _ in range(page.rng.randint(3, 6)):
        start = page.one([page.face, page.icon, lambda: page.checkbox(" ")])
        end = page.one([page.badge, page.money, lambda: page.bare_icon("more"), lambda: page.link(page.term(8))])
        text = f'<div class="x-wide">{page.phrase(2, 4)}{muted(page.date())}</div>'
        lines.append(f'<div class="x-row x-still">{start}{text}{end}</div>')
    return f'<div class="x-rows">{"".join(lines)}</div>'


def admin_table(page: RandomPage) -> str:
    """Draw a table with filters, actions and a pager."""
    makers: list[Maker] = [
        *(page.search, page.dropdown, page.button, page.opener, page.icon_button),
        *(page.dropdown, page.text_field, page.checkbox, page.toggle),
    ]
    tools = page.some(makers, 2, 3 if page.narrow else 6)
    bar = row(*(f'<div style="max-width:230px" class="x-fill">{tool()}</div>' for tool in tools))
    below = row(muted(f"1-10 / {page.rng.randint(11, 900)}"), page.pager(), style="x-ends")
    tabs = page.tabs() if page.chance(0.35) else ""
    data = table(page, tick=0.55, act=0.7)
    return shell(page, tabs + bar + (page.card(data) if page.chance(0.4) else data) + below, side=0.6)


def calendar(page: RandomPage) -> str:
    """Draw a month with its events."""
    head = row(
        page.heading(2, page.phrase(1, 1) + " 2026"),
        row(page.icon_button(), page.icon_button(), page.button(), page.dropdown(), style="x-tight"),
        style="x-ends",
    )
    days = "".join(f"<th>{page.term(6)[:3]}</th>" for _ in range(7))
    weeks = "".join(f"<tr>{''.join(_day(page, 7 * week + day) for day in range(7))}</tr>" for week in range(5))
    body = f"<thead><tr>{days}</tr></thead><tbody>{weeks}</tbody>"
    month = f'<table class="x-table x-all" style="table-layout:fixed">{body}</table>'
    lists = column(page.heading(3), *(page.checkbox() for _ in range(page.rng.randint(2, 5))), page.toggle())
    main = month if page.narrow else aside(lists, month, 190)
    return shell(page, head + (page.tabs() if page.chance(0.4) else "") + main, side=0.3, title=False)


def _day(page: RandomPage, number: int) -> str:
    event = (
        f'<div class="x-badge" style="overflow:hidden;border-radius:3px">{page.phrase(1, 2)}</div>'
        if page.chance(0.18)
        else ""
    )
    high = page.rng.choice([48, 48, 64])
    return f'<td style="height:{high}px;padding:4px;vertical-align:top">{number % 30 + 1}{event}</td>'


def file_manager(page: RandomPage) -> str:
    """Draw files as a table or as tiles, with a tool bar."""
    tools = row(
        page.button(), page.opener(), page.icon_button(), page.icon_button(), wide(page.search()), page.dropdown()
    )
    if page.chance(0.5):
        files = table(page, tick=0.9, act=0.9, rows=page.rng.randint(4, 9))
    else:
        files = grid([_tile(page) for _ in range(page.rng.randint(4, 10))], 150)
    used = page.card(column(page.heading(4), page.progress(), muted(page.phrase(2, 5)), page.link()))
    view = row(page.tabs(2, 4), row(page.toggle(), page.slider()), style="x-ends") if page.chance(0.8) else ""
    return shell(page, tools + view + files + (used if page.chance(0.5) else ""), side=0.7)


def _tile(page: RandomPage) -> str:
    top = (
        page.image(90)
        if page.chance(0.5)
        else f'<div class="x-row x-center">{page.icon(size=page.rng.choice([40, 56]))}</div>'
    )
    return page.card(
        column(
            top,
            row(
                page.checkbox(" "),
                f'<div class="x-wide">{page.phrase(1, 2)}</div>',
                page.bare_icon("more"),
                style="x-still",
            ),
        )
    )


def board(page: RandomPage) -> str:
    """Draw a board with tasks in columns."""
    lanes = []
    for _ in range(2 if page.narrow else page.rng.randint(3, 4)):
        tasks = [
            page.card(
                column(
                    f"<div>{page.phrase(3, 8)}</div>",
                    row(page.badge(), page.face(24), page.bare_icon(), style="x-ends x-still"),
                    page.checkbox() if page.chance(0.4) else "",
                )
            )
            for _ in range(page.rng.randint(2, 4))
        ]
        lanes.append(
            column(
                row(page.heading(4), page.bare_icon("more"), style="x-ends x-still"),
                *tasks,
                page.one([page.button, page.ghost]),
            )
        )
    bar = row(page.search(), page.dropdown(), page.button(), page.toggle())
    return shell(page, bar + grid(lanes, 170), side=0.5)
