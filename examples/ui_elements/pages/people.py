"""Pages of talk and trade: chats, mail, shops, feeds."""

from __future__ import annotations

from examples.ui_elements.pages.parts import (
    aside,
    column,
    div,
    grid,
    line,
    menu,
    muted,
    row,
    shell,
    table,
    top_bar,
    wide,
)
from examples.ui_elements.random_page import Draw


def chat(d: Draw) -> str:
    """Draw people at one side, what they say at the other, a field to answer."""
    said = []
    for _ in range(d.rng.randint(4, 9)):
        mine = d.chance(0.45)
        picture = f'<div style="width:180px">{d.picture(110, "10px")}</div>' if d.chance(0.1) else ""
        link = f" {d.link()}" if d.chance(0.1) else ""
        bubble = f'<div class="x-bubble{" x-mine" if mine else ""}">{picture}{d.phrase(2, 14)}{link}</div>'
        said.append(
            bubble
            if mine or d.chance(0.5)
            else f'<div class="x-row x-still" style="align-items:flex-start">{d.face(30)}{bubble}</div>'
        )
    head = row(
        d.face(36),
        f'<div class="x-wide">{d.heading(4, d.name())}{muted(d.term())}</div>',
        d.bare_icon(),
        d.bare_icon("more"),
        style="x-still",
    )
    answer = row(
        d.bare_icon(),
        wide(d.text_field(type="text")),
        d.one([d.button, d.icon_button, d.bare_icon]),
        style="x-still",
    )
    below = div(answer, style="margin-top:auto!important")
    talk = div(head, '<hr class="x-line">', column(*said), below, kind="x-main")
    if d.narrow:
        return talk
    people = "".join(
        line(d.face(38), d.name() + muted(d.phrase(2, 4)), d.badge() if d.chance(0.2) else "")
        for _ in range(d.rng.randint(4, 9))
    )
    tabs = d.tabs(2, 3) if d.chance(0.4) else ""
    side = div(d.search(), tabs, div(people, kind="x-rows"), kind="x-side x-col", style="--side:270px")
    return div(side, talk, kind="x-body")


def mail(d: Draw) -> str:
    """Draw letters in a list: a box to tick, a star, who wrote and of what."""
    letters = []
    for _ in range(d.rng.randint(5, 12)):
        bold = "font-weight:700" if d.chance(0.35) else ""
        badge = d.badge() if d.chance(0.2) else ""
        start = f"{d.checkbox(' ')}{d.bare_icon() if d.chance(0.7) else ''}"
        if d.narrow:
            letters.append(line(d.face(40), d.name() + div(d.phrase(2, 5)), d.date(), style=bold))
        else:
            letters.append(
                line(
                    start + div(d.name(), style="width:120px"),
                    d.phrase(3, 8),
                    badge,
                    f"<span>{d.date()}</span>",
                    style=bold,
                )
            )
    tools = row(
        d.checkbox(" "),
        *(d.bare_icon() for _ in range(d.rng.randint(2, 5))),
        d.opener() if d.chance(0.4) else "",
        muted("1-50"),
    )
    body = f'<div class="x-rows">{"".join(letters)}</div>'
    write = f'<div style="padding:8px">{d.button()}</div>{menu(d, 5, 9)}'
    side = "" if d.narrow else f'<aside class="x-side x-plain">{write}</aside>'
    tabs = d.tabs() if d.chance(0.4) else ""
    return top_bar(d) + div(side, div(tabs, tools, body, kind="x-main"), kind="x-body")


def shop(d: Draw) -> str:
    """Draw goods in a grid, with filters at the side."""
    high = d.rng.randint(90, 190)
    goods = [d.card(_good(d, high)) for _ in range(d.rng.randint(4, 10))]
    filters = column(
        d.heading(4),
        *(d.checkbox() for _ in range(d.rng.randint(3, 6))),
        d.heading(4),
        d.slider(),
        d.labeled(d.dropdown()),
        *d.radios(2, 3),
    )
    bar = row(
        muted(f"{d.rng.randint(20, 400)}"),
        d.dropdown(),
        d.icon_button(),
        d.toggle() if d.chance(0.3) else "",
        style="x-ends",
    )
    items = grid(goods, d.rng.choice([140, 170, 210]))
    if d.narrow or d.chance(0.4):
        return shell(d, bar + items + d.pager(), side=0)
    return shell(
        d,
        bar + aside(filters, items, 180) + d.pager(),
        side=0,
    )


def _good(d: Draw, high: int) -> str:
    name = d.one([lambda: d.heading(4), lambda: d.link(d.phrase(1, 3)), lambda: f"<div>{d.phrase(1, 3)}</div>"])
    stars = "".join(d.icon(size=14) for _ in range(1)) * 5 if d.chance(0.3) else ""
    end = d.one([lambda: d.button(), lambda: d.icon_button(), lambda: d.bare_icon(), lambda: ""])
    return column(
        d.picture(high),
        name,
        f'<div class="x-row x-tight">{stars}</div>' if stars else "",
        row(f"<b>{d.money()}</b>", end, style="x-ends"),
    )


def product(d: Draw) -> str:
    """Draw one thing to buy: pictures, choices, a number, words about it."""
    small = row(
        *(f'<div style="width:56px">{d.picture(56)}</div>' for _ in range(d.rng.randint(2, 4))), style="x-tight"
    )
    choice = d.one(
        [
            lambda: row(*d.radios()),
            lambda: d.labeled(d.dropdown()),
            lambda: row(*(d.button() for _ in range(3)), style="x-tight"),
        ]
    )
    buy = row(
        f'<div style="width:80px" class="x-fill">{d.text_field(type="number", value="1", hint="")}</div>',
        d.button(),
        d.icon_button(),
    )
    about = column(
        d.heading(1),
        f'<div class="x-big">{d.money()}</div>',
        d.paragraph(1, 2, 0.1),
        choice,
        buy,
        d.checkbox() if d.chance(0.4) else "",
        d.link(),
    )
    more = d.tabs(2, 4) + (table(d, 3, 5, 0, 0) if d.chance(0.5) else d.paragraph(2, 3, 0.1))
    return shell(d, grid([column(d.picture(d.rng.randint(200, 360)), small), about], 280) + more, side=0, title=False)


def feed(d: Draw) -> str:
    """Draw what people post, with pictures and what may be done with it."""
    posts = []
    for _ in range(d.rng.randint(2, 4)):
        head = row(
            d.face(),
            f'<div class="x-wide">{d.link(d.name()) if d.chance(0.5) else d.name()}{muted(d.date())}</div>',
            d.bare_icon("more"),
            style="x-still",
        )
        picture = d.picture(d.rng.randint(120, 260)) if d.chance(0.6) else ""
        acts = row(*(d.one([d.bare_icon, d.ghost, d.bare_icon]) for _ in range(d.rng.randint(2, 4))))
        posts.append(d.card(column(head, f"<div>{d.sentence()}</div>", picture, acts)))
    write = d.card(row(d.face(), wide(d.text_field()), d.button(), style="x-still")) if d.chance(0.6) else ""
    main = f'<div class="x-narrow x-col" style="--narrow:560px">{write}{"".join(posts)}</div>'
    return shell(d, (d.tabs() if d.chance(0.3) else "") + main, side=0.5, title=d.chance(0.3))
