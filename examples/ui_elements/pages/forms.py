"""Page types with forms: sign-in, settings, orders, surveys, wizards."""

from __future__ import annotations

from examples.ui_elements.pages.parts import column, div, grid, line, menu, muted, row, shell, table, wide
from examples.ui_elements.random_page import RandomPage


def _centered(page: RandomPage, inside: str) -> str:
    framed = page.card(inside) if page.chance(0.7) else f"<div>{inside}</div>"
    narrow = f'<div class="x-narrow" style="--narrow:{page.rng.choice([320, 360, 420, 480])}px">{framed}</div>'
    if not page.narrow and page.chance(0.25):
        image = page.image(page.rng.randint(420, 700))
        return div(
            div(image, style="flex:1"), div(narrow, kind="x-main", style="justify-content:center"), kind="x-body"
        )
    return (
        f'<main class="x-main" style="justify-content:center;padding-top:{page.rng.randint(10, 70)}px">{narrow}</main>'
    )


def sign_in(page: RandomPage) -> str:
    """Draw a sign-in or sign-up page."""
    mark = page.one([lambda: page.icon(size=40), lambda: page.face(56), lambda: ""])
    fields = [page.labeled(page.text_field(type=kind)) for kind in ("email", "password")]
    fields += [page.field() for _ in range(page.rng.choice([0, 0, 1, 3]))]
    keep = row(page.checkbox(), page.link(), style="x-ends") if page.chance(0.7) else page.toggle()
    others = (
        [row(*(page.one([page.button, page.icon_button]) for _ in range(3)), style="x-center")]
        if page.chance(0.4)
        else []
    )
    last = f'<p style="margin:0">{page.phrase(2, 4)} {page.link()}</p>'
    send = f'<div class="x-fill">{page.button()}</div>'
    head = f'<div class="{page.rng.choice(["x-center", ""])}">{mark}{page.heading(page.rng.choice([1, 2, 3]))}</div>'
    return _centered(page, column(head, *fields, keep, send, *others, last))


def settings(page: RandomPage) -> str:
    """Draw settings: toggles, choices, sliders and fields in groups."""
    makers = [
        lambda: _setting(page, page.toggle(" ")),
        lambda: _setting(page, page.toggle(" ")),
        lambda: page.labeled(page.dropdown()),
        lambda: page.labeled(page.slider()),
        lambda: page.labeled(page.text_field()),
        lambda: column(*page.radios()),
        lambda: column(*(page.checkbox() for _ in range(3))),
        lambda: page.toggle(),
        lambda: _setting(page, page.button()),
    ]
    groups = []
    for _ in range(page.rng.randint(2, 4)):
        parts = [page.one(makers) for _ in range(page.rng.randint(2, 4))]
        groups.append(
            page.card(
                column(
                    page.heading(page.rng.choice([3, 4])), muted(page.sentence()) if page.chance(0.4) else "", *parts
                )
            )
        )
    head = page.tabs() if page.chance(0.4) else ""
    ends = row(page.button(), page.one([page.ghost, page.button]))
    return shell(page, head + (grid(groups, 330) if page.chance(0.4) else "".join(groups)) + ends, side=0.6)


def _setting(page: RandomPage, control: str) -> str:
    below = muted(page.phrase(3, 8)) if page.chance(0.5) else ""
    mark = page.icon(size=22) if page.chance(0.25) else ""
    return f'<div class="x-row x-still">{mark}<div class="x-wide">{page.term()}{below}</div>{control}</div>'


def checkout(page: RandomPage) -> str:
    """Draw a checkout: address, delivery, payment and a summary."""
    fields = grid([page.field() for _ in range(page.rng.randint(3, 6))], 200)
    choices = column(*(page.card(radio) if page.chance(0.4) else radio for radio in page.radios(2, 4)))
    gift = page.labeled(page.slider()) if page.chance(0.4) else page.toggle()
    form = column(page.heading(2), fields, page.heading(3), choices, gift, page.checkbox(), page.checkbox())
    lines = [
        line(div(page.image(48), style="width:48px"), page.phrase(1, 3), page.money())
        for _ in range(page.rng.randint(1, 4))
    ]
    code = row(wide(page.text_field()), page.button())
    total = row("<b>" + page.term(12) + "</b>", f"<b>{page.money()}</b>", style="x-ends")
    summary = page.card(
        column(
            page.heading(3), *lines, '<hr class="x-line">', code, total, f'<div class="x-fill">{page.button()}</div>'
        )
    )
    return shell(page, grid([form, summary], 320), side=0, title=page.chance(0.5))


def survey(page: RandomPage) -> str:
    """Draw a survey with choices, scales and free answers."""
    questions = []
    for number in range(page.rng.randint(2, 5)):
        answer = page.one([
            lambda: column(*page.radios(3, 5)),
            lambda: column(*(page.checkbox() for _ in range(page.rng.randint(3, 5)))),
            lambda: row(*page.radios(3, 5)),
            page.area,
            page.slider,
            page.dropdown,
            lambda: page.text_field(),
        ])  # fmt: skip
        title = page.heading(page.rng.choice([3, 4]), f"{number + 1}. {page.phrase(3, 9)}")
        body = column(title, f'<div class="x-fill">{answer}</div>')
        questions.append(page.card(body) if page.chance(0.5) else body)
    progress = page.progress() if page.chance(0.5) else ""
    inside = column(progress, *questions, row(page.button(), page.button(), style="x-ends"))
    return shell(page, f'<div class="x-text">{inside}</div>', side=0.15)


def wizard(page: RandomPage) -> str:
    """Draw one step of a wizard."""
    count = page.rng.randint(3, 5)
    at = page.rng.randrange(count)
    steps = [
        div(
            div(str(i + 1), kind="x-letter", style="" if i <= at else "opacity:.4"),
            page.term(10),
            kind="x-row x-tight x-still",
        )
        for i in range(count)
    ]
    sliders = [page.labeled(page.slider()) for _ in range(page.rng.randint(1, 2))]
    parts = (
        [page.field() for _ in range(page.rng.randint(1, 4))]
        + sliders
        + [column(*page.radios()), page.toggle(), page.toggle(), page.checkbox()]
    )
    page.rng.shuffle(parts)
    body = column(page.heading(2), muted(page.sentence()), *parts[: page.rng.randint(4, 7)])
    ends = row(page.button(), row(page.ghost(), page.button()), style="x-ends")
    progress = row(*steps, style="x-ends") if not page.narrow else page.progress()
    return shell(
        page,
        f'<div class="x-narrow" style="--narrow:640px">{column(progress, page.card(body), ends)}</div>',
        side=0.1,
        title=False,
    )


def account(page: RandomPage) -> str:
    """Draw the profile of a person with editable fields."""
    head = row(
        page.face(page.rng.choice([64, 88, 112])),
        f'<div class="x-wide">{page.heading(2, page.name())}{muted(page.sentence())}</div>',
        page.button(),
        page.icon_button(),
    )
    tabs = page.tabs()
    form = grid([page.field() for _ in range(page.rng.randint(3, 6))], 240)
    switches = column(
        *(_setting(page, page.toggle(" ")) for _ in range(page.rng.randint(2, 4))), page.labeled(page.slider())
    )
    extra = column(page.heading(3), *(page.checkbox() for _ in range(3)), *page.radios(2, 3))
    visits = column(page.heading(3), table(page, 3, 4))
    cards = [page.card(part) for part in page.some([form, switches, extra, visits], 2, 4)]
    cover = page.image(page.rng.randint(90, 160)) if page.chance(0.4) else ""
    side = f'<div style="width:180px">{menu(page, 3, 5)}</div>' if not page.narrow and page.chance(0.3) else ""
    main = div(side, div(*cards, kind="x-wide x-col"), kind="x-row", style="align-items:flex-start")
    return shell(page, cover + head + tabs + main + row(page.button(), page.ghost()), side=0.2, title=False)


def booking(page: RandomPage) -> str:
    """Draw a travel search: fields in a row, filters, results."""
    where = row(
        *(wide(page.labeled(page.one([page.text_field, page.dropdown]))) for _ in range(page.rng.randint(2, 4))),
        page.button(),
    )
    choices = row(*page.radios(2, 3), page.checkbox(), page.toggle())
    results = [
        page.card(
            row(
                f'<div style="width:90px">{page.image(70)}</div>',
                f'<div class="x-wide">{page.heading(4)}{muted(page.phrase(3, 8))}{page.link()}</div>',
                f"<b>{page.money()}</b>",
                page.button(),
            )
        )
        for _ in range(page.rng.randint(2, 5))
    ]
    price = column(
        page.heading(4), page.labeled(page.slider()), *(page.checkbox() for _ in range(page.rng.randint(2, 4)))
    )
    tabs = page.tabs() if page.chance(0.5) else ""
    return shell(
        page, tabs + page.card(column(where, choices)) + (price if page.chance(0.5) else "") + "".join(results), side=0
    )
