"""Pages to read and look at: articles, documents, landing pages, search results, prices, galleries."""

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
from examples.ui_elements.random_page import Draw


def article(d: Draw) -> str:
    """Draw an article with pictures, links and comments."""
    author = row(
        d.face(),
        f'<div class="x-wide">{d.name()}{muted(d.date())}</div>',
        d.bare_icon(),
        d.bare_icon(),
        style="x-still",
    )
    parts = [d.heading(1, d.phrase(3, 9)), author, d.picture(d.rng.randint(140, 300)) if d.chance(0.7) else ""]
    for _ in range(d.rng.randint(2, 4)):
        parts += [d.paragraph(2, 5, 0.3)]
        parts += [d.heading(d.rng.choice([2, 3])) if d.chance(0.6) else d.picture() if d.chance(0.3) else ""]
    ends = [row(d.button(), d.icon_button(), d.ghost()), d.heading(3), d.area(), d.button()] if d.chance(0.5) else []
    return shell(
        d,
        div(*parts, column(*ends), kind="x-text"),
        side=0.1,
        title=False,
    )


def documentation(d: Draw) -> str:
    """Draw a page of documents: contents at the side, text, code, a table, notices."""
    parts = [d.heading(1)]
    for _ in range(d.rng.randint(2, 4)):
        code = f'<div class="x-code">{"<br>".join(d.phrase(2, 7).lower() for _ in range(d.rng.randint(2, 5)))}</div>'
        points = "<ul>" + "".join(f"<li>{d.link(d.phrase(1, 4))}: {d.phrase(3, 8)}</li>" for _ in range(3)) + "</ul>"
        parts += [
            d.heading(d.rng.choice([2, 3])),
            d.paragraph(1, 3, 0.35),
            d.rng.choice([code, points, d.alert(), table(d, 3, 4, 0, 0), d.tabs() + code]),
        ]
    text = f'<div class="x-wide">{"".join(parts)}{row(d.link(), d.link(), style="x-ends")}</div>'
    if d.narrow:
        return shell(d, text, title=False)
    contents = f'<aside class="x-side x-plain">{d.search() if d.chance(0.5) else ""}{menu(d, 6, 14)}</aside>'
    here = (
        "<div style='flex:0 0 150px;font-size:.88em'>" + "".join(f"<div>{d.link()}</div>" for _ in range(5)) + "</div>"
        if d.chance(0.4)
        else ""
    )
    main = div(text, here, kind="x-main", style="flex-direction:row")
    return top_bar(d, True) + div(contents, main, kind="x-body")


def landing(d: Draw) -> str:
    """Draw the front page of a product."""
    picture = d.rng.choice(d.pictures).as_uri()
    photo = (
        f"background:linear-gradient(rgba(0,0,0,.55),rgba(0,0,0,.55)),url({picture}) center/cover;color:#fff"
        if d.chance(0.25)
        else ""
    )
    where = d.rng.choice(["x-center", ""])
    call = row(d.button(), d.one([d.button, d.ghost]), style=where)
    sign = row(wide(d.text_field(type="email")), d.button()) if d.chance(0.4) else ""
    words = f'{d.heading(1, d.phrase(3, 7))}<p class="x-tagline">{d.sentence()}</p>'
    hero = div(div(words, call, sign, kind=f"x-narrow {where}", style="--narrow:620px"), kind="x-hero", style=photo)
    mark = d.rng.choice([lambda: d.icon(size=d.rng.choice([28, 36, 48])), lambda: d.picture(110)])
    features = [
        f'<div class="{where}">{mark()}{d.heading(3)}<p>{d.sentence()}</p>{d.link() if d.chance(0.5) else ""}</div>'
        for _ in range(d.rng.randint(2, 6))
    ]
    quotes = _quotes(d) if d.chance(0.4) else ""
    cells = [d.card(one) for one in features] if d.chance(0.5) else features
    body = div(d.heading(2), grid(cells, 200), quotes, kind="x-main")
    return top_bar(d, d.chance(0.6)) + hero + body + foot(d)


def _quotes(d: Draw) -> str:
    return grid([d.card(f"<p>{d.sentence()}</p>{row(d.face(), d.name())}") for _ in range(3)], 200)


def results(d: Draw) -> str:
    """Draw what a search found, and what narrows it."""
    filters = [
        d.heading(4),
        *(d.checkbox() for _ in range(d.rng.randint(2, 5))),
        d.heading(4),
        d.slider(),
        *d.radios(2, 4),
        d.toggle(),
        d.labeled(d.dropdown()),
    ]
    cut = d.rng.randint(4, len(filters))
    found = []
    for _ in range(d.rng.randint(3, 7)):
        title = d.rng.choice([d.link, lambda t: d.heading(3, t)])(d.phrase(3, 7))
        text = div(title, muted(d.phrase(1, 3)), div(d.sentence()), kind="x-wide")
        found.append(
            row(text, f'<div style="width:96px">{d.picture(72)}</div>' if d.chance(0.3) else "", style="x-still")
        )
    top = row(wide(d.search()), d.button(), d.dropdown()) + (d.tabs() if d.chance(0.5) else "")
    body = column(*found, d.pager())
    if d.narrow:
        return shell(d, top + column(*filters[: d.rng.randint(2, 5)]) + body, title=False)
    return shell(
        d,
        top + aside(column(*filters[:cut]), body, 200),
        side=0.1,
        title=False,
    )


def pricing(d: Draw) -> str:
    """Draw plans side by side, and a table that compares them."""
    switch = (
        row(d.term(10), d.toggle(" "), d.term(10), style="x-center")
        if d.chance(0.6)
        else f'<div class="x-row x-center">{d.tabs(2, 3)}</div>'
    )
    plans = []
    for _ in range(d.rng.randint(2, 4)):
        points = "".join(f"<li>{d.icon()} {d.phrase(1, 4)}</li>" for _ in range(d.rng.randint(3, 6)))
        plans.append(
            d.card(
                column(
                    d.heading(3, d.term(12)),
                    d.badge() if d.chance(0.3) else "",
                    f'<div class="x-big">{d.money()}</div>',
                    f'<ul class="x-list">{points}</ul>',
                    d.button(),
                    d.link() if d.chance(0.4) else "",
                )
            )
        )
    seats = d.labeled(d.slider()) if d.chance(0.5) else ""
    compare = table(d, 4, 5, 0, 0) if d.chance(0.5) else ""
    code = row(wide(d.text_field()), d.dropdown(), d.button()) if d.chance(0.5) else ""
    return shell(d, switch + seats + grid(plans, 190) + row(*d.radios(2, 3), d.checkbox()) + code + compare, side=0)


def gallery(d: Draw) -> str:
    """Draw pictures in a grid, with what filters and shows them."""
    high = d.rng.randint(80, 200)
    cells = []
    for _ in range(d.rng.randint(6, 16)):
        below = d.one(
            [
                lambda: "",
                lambda: row(d.phrase(1, 2), d.bare_icon(), style="x-ends x-still"),
                lambda: d.link(d.phrase(1, 3)),
            ]
        )
        cells.append(f"<div>{d.picture(high, d.rng.choice(['0', '8px']))}{below}</div>")
    bar = row(*(tool() for tool in d.some([d.search, d.dropdown, d.button, d.icon_button, d.toggle, d.slider], 1, 4)))
    return shell(
        d, (d.tabs() if d.chance(0.5) else "") + bar + grid(cells, d.rng.choice([100, 140, 180, 240])), side=0.3
    )


def player(d: Draw) -> str:
    """Draw a player of music or films: a picture, sliders, round buttons, a list."""
    keys = row(
        *(d.one([d.bare_icon, d.bare_icon, d.icon_button]) for _ in range(d.rng.randint(3, 6))),
        style="x-center x-still",
    )
    time = row("1:24", wide(d.slider()), "4:05", style="x-still")
    volume = row(d.bare_icon(), f'<div style="width:120px">{d.slider()}</div>', d.bare_icon(), style="x-still")
    now = column(d.picture(d.rng.randint(150, 340)), d.heading(3), muted(d.name()), time, keys, volume)
    songs = [
        line(d.face(40), d.phrase(1, 3) + muted(d.name()), f"<span>3:{d.rng.randint(10, 59)}</span>", d.bare_icon())
        for _ in range(d.rng.randint(3, 7))
    ]
    more = column(d.tabs(2, 4), row(d.toggle(), d.dropdown()), f'<div class="x-rows">{"".join(songs)}</div>')
    return shell(d, grid([now, more], 300), side=0.4, title=d.chance(0.4))
