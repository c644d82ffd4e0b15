"""Page types with people and goods: chats, mail, shops, feeds."""

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
from examples.ui_elements.random_page import RandomPage


def chat(page: RandomPage) -> str:
    """Draw a chat: people on one side, messages on the other, a field to answer."""
    said = []
    for _ in range(page.rng.randint(4, 9)):
        mine = page.chance(0.45)
        image = f'<div style="width:180px">{page.image(110, "10px")}</div>' if page.chance(0.1) else ""
        link = f" {page.link()}" if page.chance(0.1) else ""
        bubble = f'<div class="x-bubble{" x-mine" if mine else ""}">{image}{page.phrase(2, 14)}{link}</div>'
        said.append(
            bubble
            if mine or page.chance(0.5)
            else f'<div class="x-row x-still" style="align-items:flex-start">{page.face(30)}{bubble}</div>'
        )
    head = row(
        page.face(36),
        f'<div class="x-wide">{page.heading(4, page.name())}{muted(page.term())}</div>',
        page.bare_icon(),
        page.bare_icon("more"),
        style="x-still",
    )
    answer = row(
        page.bare_icon(),
        wide(page.text_field(type="text")),
        page.one([page.button, page.icon_button, page.bare_icon]),
        style="x-still",
    )
    below = div(answer, style="margin-top:auto!important")
    talk = div(head, '<hr class="x-line">', column(*said), below, kind="x-main")
    if page.narrow:
        return talk
    people = "".join(
        line(page.face(38), page.name() + muted(page.phrase(2, 4)), page.badge() if page.chance(0.2) else "")
        for _ in range(page.rng.randint(4, 9))
    )
    tabs = page.tabs(2, 3) if page.chance(0.4) else ""
    side = div(page.search(), tabs, div(people, kind="x-rows"), kind="x-side x-col", style="--side:270px")
    return div(side, talk, kind="x-body")


def mail(page: RandomPage) -> str:
    """Draw a mail box: a list of letters with checkboxes, stars, senders and subjects."""
    letters = []
    for _ in range(page.rng.randint(5, 12)):
        bold = "font-weight:700" if page.chance(0.35) else ""
        badge = page.badge() if page.chance(0.2) else ""
        start = f"{page.checkbox(' ')}{page.bare_icon() if page.chance(0.7) else ''}"
        if page.narrow:
            letters.append(line(page.face(40), page.name() + div(page.phrase(2, 5)), page.date(), style=bold))
        else:
            letters.append(
                line(
                    start + div(page.name(), style="width:120px"),
                    page.phrase(3, 8),
                    badge,
                    f"<span>{page.date()}</span>",
                    style=bold,
                )
            )
    tools = row(
        page.checkbox(" "),
        *(page.bare_icon() for _ in range(page.rng.randint(2, 5))),
        page.opener() if page.chance(0.4) else "",
        muted("1-50"),
    )
    body = f'<div class="x-rows">{"".join(letters)}</div>'
    write = f'<div style="padding:8px">{page.button()}</div>{menu(page, 5, 9)}'
    side = "" if page.narrow else f'<aside class="x-side x-plain">{write}</aside>'
    tabs = page.tabs() if page.chance(0.4) else ""
    return top_bar(page) + div(side, div(tabs, tools, body, kind="x-main"), kind="x-body")


def shop(page: RandomPage) -> str:
    """Draw a shop: products in a grid, filters at the side."""
    high = page.rng.randint(90, 190)
    goods = [page.card(_good(page, high)) for _ in range(page.rng.randint(4, 10))]
    filters = column(
        page.heading(4),
        *(page.checkbox() for _ in range(page.rng.randint(3, 6))),
        page.heading(4),
        page.slider(),
        page.labeled(page.dropdown()),
        *page.radios(2, 3),
    )
    bar = row(
        muted(f"{page.rng.randint(20, 400)}"),
        page.dropdown(),
        page.icon_button(),
        page.toggle() if page.chance(0.3) else "",
        style="x-ends",
    )
    items = grid(goods, page.rng.choice([140, 170, 210]))
    if page.narrow or page.chance(0.4):
        return shell(page, bar + items + page.pager(), side=0)
    return shell(
        page,
        bar + aside(filters, items, 180) + page.pager(),
        side=0,
    )


def _good(page: RandomPage, high: int) -> str:
    name = page.one(
        [lambda: page.heading(4), lambda: page.link(page.phrase(1, 3)), lambda: f"<div>{page.phrase(1, 3)}</div>"]
    )
    stars = "".join(page.icon(size=14) for _ in range(1)) * 5 if page.chance(0.3) else ""
    end = page.one([lambda: page.button(), lambda: page.icon_button(), lambda: page.bare_icon(), lambda: ""])
    return column(
        page.image(high),
        name,
        f'<div class="x-row x-tight">{stars}</div>' if stars else "",
        row(f"<b>{page.money()}</b>", end, style="x-ends"),
    )


def product(page: RandomPage) -> str:
    """Draw a product: images, choices, an amount, a description."""
    small = row(
        *(f'<div style="width:56px">{page.image(56)}</div>' for _ in range(page.rng.randint(2, 4))), style="x-tight"
    )
    choice = page.one(
        [
            lambda: row(*page.radios()),
            lambda: page.labeled(page.dropdown()),
            lambda: row(*(page.button() for _ in range(3)), style="x-tight"),
        ]
    )
    buy = row(
        f'<div style="width:80px" class="x-fill">{page.text_field(type="number", value="1", hint="")}</div>',
        page.button(),
        page.icon_button(),
    )
    about = column(
        page.heading(1),
        f'<div class="x-big">{page.money()}</div>',
        page.paragraph(1, 2, 0.1),
        choice,
        buy,
        page.checkbox() if page.chance(0.4) else "",
        page.link(),
    )
    more = page.tabs(2, 4) + (table(page, 3, 5, 0, 0) if page.chance(0.5) else page.paragraph(2, 3, 0.1))
    return shell(
        page, grid([column(page.image(page.rng.randint(200, 360)), small), about], 280) + more, side=0, title=False
    )


def feed(page: RandomPage) -> str:
    """Draw a feed of posts with images and actions."""
    posts = []
    for _ in range(page.rng.randint(2, 4)):
        face = page.face()
        author = page.link(page.name()) if page.chance(0.5) else page.name()
        text = f'<div class="x-wide">{author}{muted(page.date())}</div>'
        head = row(face, text, page.bare_icon("more"), style="x-still")
        image = page.image(page.rng.randint(120, 260)) if page.chance(0.6) else ""
        acts = row(*(page.one([page.bare_icon, page.ghost, page.bare_icon]) for _ in range(page.rng.randint(2, 4))))
        posts.append(page.card(column(head, f"<div>{page.sentence()}</div>", image, acts)))
    write = (
        page.card(row(page.face(), wide(page.text_field()), page.button(), style="x-still")) if page.chance(0.6) else ""
    )
    main = f'<div class="x-narrow x-col" style="--narrow:560px">{write}{"".join(posts)}</div>'
    return shell(page, (page.tabs() if page.chance(0.3) else "") + main, side=0.5, title=page.chance(0.3))
