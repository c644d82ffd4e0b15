"""Page types to read and view: articles, documentation, landing pages, search results, prices, galleries."""

from __future__ import annotations

from examples.ui_elements.pages.parts import (
    aside,
    column,
    div,
    foot,
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
from examples.ui_elements.random_page import Maker, RandomPage


def article(page: RandomPage) -> str:
    """Draw an article with images, links and comments."""
    author = row(
        page.face(),
        f'<div class="x-wide">{page.name()}{muted(page.date())}</div>',
        page.bare_icon(),
        page.bare_icon(),
        style="x-still",
    )
    parts = [
        page.heading(1, page.phrase(3, 9)),
        author,
        page.image(page.rng.randint(140, 300)) if page.chance(0.7) else "",
    ]
    for _ in range(page.rng.randint(2, 4)):
        parts += [page.paragraph(2, 5, 0.3)]
        parts += [
            page.heading(page.rng.choice([2, 3])) if page.chance(0.6) else page.image() if page.chance(0.3) else ""
        ]
    ends = (
        [row(page.button(), page.icon_button(), page.ghost()), page.heading(3), page.area(), page.button()]
        if page.chance(0.5)
        else []
    )
    return shell(
        page,
        div(*parts, column(*ends), kind="x-text"),
        side=0.1,
        title=False,
    )


def documentation(page: RandomPage) -> str:
    """Draw documentation: contents at the side, text, code, a table, notices."""
    parts = [page.heading(1)]
    for _ in range(page.rng.randint(2, 4)):
        code = (
            f'<div class="x-code">{"<br>".join(page.phrase(2, 7).lower() for _ in range(page.rng.randint(2, 5)))}</div>'
        )
        points = (
            "<ul>"
            + "".join(f"<li>{page.link(page.phrase(1, 4))}: {page.phrase(3, 8)}</li>" for _ in range(3))
            + "</ul>"
        )
        parts += [
            page.heading(page.rng.choice([2, 3])),
            page.paragraph(1, 3, 0.35),
            page.rng.choice([code, points, page.alert(), table(page, 3, 4, 0, 0), page.tabs() + code]),
        ]
    text = f'<div class="x-wide">{"".join(parts)}{row(page.link(), page.link(), style="x-ends")}</div>'
    if page.narrow:
        return shell(page, text, title=False)
    contents = f'<aside class="x-side x-plain">{page.search() if page.chance(0.5) else ""}{menu(page, 6, 14)}</aside>'
    here = (
        "<div style='flex:0 0 150px;font-size:.88em'>"
        + "".join(f"<div>{page.link()}</div>" for _ in range(5))
        + "</div>"
        if page.chance(0.4)
        else ""
    )
    main = div(text, here, kind="x-main", style="flex-direction:row")
    return top_bar(page, True) + div(contents, main, kind="x-body")


def landing(page: RandomPage) -> str:
    """Draw the landing page of a product."""
    image = page.rng.choice(page.images).as_uri()
    background = (
        f"background:linear-gradient(rgba(0,0,0,.55),rgba(0,0,0,.55)),url({image}) center/cover;color:#fff"
        if page.chance(0.25)
        else ""
    )
    where = page.rng.choice(["x-center", ""])
    call = row(page.button(), page.one([page.button, page.ghost]), style=where)
    sign = row(wide(page.text_field(type="email")), page.button()) if page.chance(0.4) else ""
    words = f'{page.heading(1, page.phrase(3, 7))}<p class="x-tagline">{page.sentence()}</p>'
    hero = div(
        div(words, call, sign, kind=f"x-narrow {where}", style="--narrow:620px"), kind="x-hero", style=background
    )
    marks: list[Maker] = [lambda: page.icon(size=page.rng.choice([28, 36, 48])), lambda: page.image(110)]
    mark = page.rng.choice(marks)
    features = []
    for _ in range(page.rng.randint(2, 6)):
        text = f"{mark()}{page.heading(3)}<p>{page.sentence()}</p>"
        features.append(f'<div class="{where}">{text}{page.link() if page.chance(0.5) else ""}</div>')
    quotes = _quotes(page) if page.chance(0.4) else ""
    cells = [page.card(one) for one in features] if page.chance(0.5) else features
    body = div(page.heading(2), grid(cells, 200), quotes, kind="x-main")
    return top_bar(page, page.chance(0.6)) + hero + body + foot(page)


def _quotes(page: RandomPage) -> str:
    return grid([page.card(f"<p>{page.sentence()}</p>{row(page.face(), page.name())}") for _ in range(3)], 200)


def results(page: RandomPage) -> str:
    """Draw search results with filters."""
    filters = [
        page.heading(4),
        *(page.checkbox() for _ in range(page.rng.randint(2, 5))),
        page.heading(4),
        page.slider(),
        *page.radios(2, 4),
        page.toggle(),
        page.labeled(page.dropdown()),
    ]
    cut = page.rng.randint(4, len(filters))
    found = []
    for _ in range(page.rng.randint(3, 7)):
        title = page.rng.choice([page.link, lambda t: page.heading(3, t)])(page.phrase(3, 7))
        text = div(title, muted(page.phrase(1, 3)), div(page.sentence()), kind="x-wide")
        found.append(
            row(text, f'<div style="width:96px">{page.image(72)}</div>' if page.chance(0.3) else "", style="x-still")
        )
    top = row(wide(page.search()), page.button(), page.dropdown()) + (page.tabs() if page.chance(0.5) else "")
    body = column(*found, page.pager())
    if page.narrow:
        return shell(page, top + column(*filters[: page.rng.randint(2, 5)]) + body, title=False)
    return shell(
        page,
        top + aside(column(*filters[:cut]), body, 200),
        side=0.1,
        title=False,
    )


def pricing(page: RandomPage) -> str:
    """Draw plans in columns, and a table that compares them."""
    switch = (
        row(page.term(10), page.toggle(" "), page.term(10), style="x-center")
        if page.chance(0.6)
        else f'<div class="x-row x-center">{page.tabs(2, 3)}</div>'
    )
    plans = []
    for _ in range(page.rng.randint(2, 4)):
        points = "".join(f"<li>{page.icon()} {page.phrase(1, 4)}</li>" for _ in range(page.rng.randint(3, 6)))
        plans.append(
            page.card(
                column(
                    page.heading(3, page.term(12)),
                    page.badge() if page.chance(0.3) else "",
                    f'<div class="x-big">{page.money()}</div>',
                    f'<ul class="x-list">{points}</ul>',
                    page.button(),
                    page.link() if page.chance(0.4) else "",
                )
            )
        )
    seats = page.labeled(page.slider()) if page.chance(0.5) else ""
    compare = table(page, 4, 5, 0, 0) if page.chance(0.5) else ""
    code = row(wide(page.text_field()), page.dropdown(), page.button()) if page.chance(0.5) else ""
    return shell(
        page, switch + seats + grid(plans, 190) + row(*page.radios(2, 3), page.checkbox()) + code + compare, side=0
    )


def gallery(page: RandomPage) -> str:
    """Draw a gallery: images in a grid, with a tool bar."""
    high = page.rng.randint(80, 200)
    cells = []
    for _ in range(page.rng.randint(6, 16)):
        below = page.one(
            [
                lambda: "",
                lambda: row(page.phrase(1, 2), page.bare_icon(), style="x-ends x-still"),
                lambda: page.link(page.phrase(1, 3)),
            ]
        )
        cells.append(f"<div>{page.image(high, page.rng.choice(['0', '8px']))}{below}</div>")
    bar = row(
        *(
            tool()
            for tool in page.some(
                [page.search, page.dropdown, page.button, page.icon_button, page.toggle, page.slider], 1, 4
            )
        )
    )
    return shell(
        page,
        (page.tabs() if page.chance(0.5) else "") + bar + grid(cells, page.rng.choice([100, 140, 180, 240])),
        side=0.3,
    )


def player(page: RandomPage) -> str:
    """Draw a media player: an image, sliders, round buttons, a list."""
    keys = row(
        *(page.one([page.bare_icon, page.bare_icon, page.icon_button]) for _ in range(page.rng.randint(3, 6))),
        style="x-center x-still",
    )
    time = row("1:24", wide(page.slider()), "4:05", style="x-still")
    volume = row(page.bare_icon(), f'<div style="width:120px">{page.slider()}</div>', page.bare_icon(), style="x-still")
    now = column(page.image(page.rng.randint(150, 340)), page.heading(3), muted(page.name()), time, keys, volume)
    songs = [
        line(
            page.face(40),
            page.phrase(1, 3) + muted(page.name()),
            f"<span>3:{page.rng.randint(10, 59)}</span>",
            page.bare_icon(),
        )
        for _ in range(page.rng.randint(3, 7))
    ]
    more = column(page.tabs(2, 4), row(page.toggle(), page.dropdown()), f'<div class="x-rows">{"".join(songs)}</div>')
    return shell(page, grid([now, more], 300), side=0.4, title=page.chance(0.4))
