"""Pages to fill in: signing in, settings, orders, questions, steps."""

from __future__ import annotations

from examples.ui_elements.pages.parts import column, div, grid, line, menu, muted, row, shell, table, wide
from examples.ui_elements.random_page import Draw


def _centered(d: Draw, inside: str) -> str:
    framed = d.card(inside) if d.chance(0.7) else f"<div>{inside}</div>"
    narrow = f'<div class="x-narrow" style="--narrow:{d.rng.choice([320, 360, 420, 480])}px">{framed}</div>'
    if not d.narrow and d.chance(0.25):
        picture = d.picture(d.rng.randint(420, 700))
        return div(
            div(picture, style="flex:1"), div(narrow, kind="x-main", style="justify-content:center"), kind="x-body"
        )
    return f'<main class="x-main" style="justify-content:center;padding-top:{d.rng.randint(10, 70)}px">{narrow}</main>'


def sign_in(d: Draw) -> str:
    """Draw a page to sign in or up."""
    mark = d.one([lambda: d.icon(size=40), lambda: d.face(56), lambda: ""])
    fields = [d.labeled(d.text_field(type=kind)) for kind in ("email", "password")]
    fields += [d.field() for _ in range(d.rng.choice([0, 0, 1, 3]))]
    keep = row(d.checkbox(), d.link(), style="x-ends") if d.chance(0.7) else d.toggle()
    others = [row(*(d.one([d.button, d.icon_button]) for _ in range(3)), style="x-center")] if d.chance(0.4) else []
    last = f'<p style="margin:0">{d.phrase(2, 4)} {d.link()}</p>'
    send = f'<div class="x-fill">{d.button()}</div>'
    head = f'<div class="{d.rng.choice(["x-center", ""])}">{mark}{d.heading(d.rng.choice([1, 2, 3]))}</div>'
    return _centered(d, column(head, *fields, keep, send, *others, last))


def settings(d: Draw) -> str:
    """Draw settings: switches, choices, sliders and fields in groups."""
    makers = [
        lambda: _setting(d, d.toggle(" ")),
        lambda: _setting(d, d.toggle(" ")),
        lambda: d.labeled(d.dropdown()),
        lambda: d.labeled(d.slider()),
        lambda: d.labeled(d.text_field()),
        lambda: column(*d.radios()),
        lambda: column(*(d.checkbox() for _ in range(3))),
        lambda: d.toggle(),
        lambda: _setting(d, d.button()),
    ]
    groups = []
    for _ in range(d.rng.randint(2, 4)):
        parts = [d.one(makers) for _ in range(d.rng.randint(2, 4))]
        groups.append(
            d.card(column(d.heading(d.rng.choice([3, 4])), muted(d.sentence()) if d.chance(0.4) else "", *parts))
        )
    head = d.tabs() if d.chance(0.4) else ""
    ends = row(d.button(), d.one([d.ghost, d.button]))
    return shell(d, head + (grid(groups, 330) if d.chance(0.4) else "".join(groups)) + ends, side=0.6)


def _setting(d: Draw, control: str) -> str:
    below = muted(d.phrase(3, 8)) if d.chance(0.5) else ""
    mark = d.icon(size=22) if d.chance(0.25) else ""
    return f'<div class="x-row x-still">{mark}<div class="x-wide">{d.term()}{below}</div>{control}</div>'


def checkout(d: Draw) -> str:
    """Draw an order: address, delivery, payment and a summary."""
    fields = grid([d.field() for _ in range(d.rng.randint(3, 6))], 200)
    choices = column(*(d.card(radio) if d.chance(0.4) else radio for radio in d.radios(2, 4)))
    gift = d.labeled(d.slider()) if d.chance(0.4) else d.toggle()
    form = column(d.heading(2), fields, d.heading(3), choices, gift, d.checkbox(), d.checkbox())
    lines = [
        line(div(d.picture(48), style="width:48px"), d.phrase(1, 3), d.money()) for _ in range(d.rng.randint(1, 4))
    ]
    code = row(wide(d.text_field()), d.button())
    total = row("<b>" + d.term(12) + "</b>", f"<b>{d.money()}</b>", style="x-ends")
    summary = d.card(
        column(d.heading(3), *lines, '<hr class="x-line">', code, total, f'<div class="x-fill">{d.button()}</div>')
    )
    return shell(d, grid([form, summary], 320), side=0, title=d.chance(0.5))


def survey(d: Draw) -> str:
    """Draw questions with choices, scales and free answers."""
    questions = []
    for number in range(d.rng.randint(2, 5)):
        answer = d.one([
            lambda: column(*d.radios(3, 5)),
            lambda: column(*(d.checkbox() for _ in range(d.rng.randint(3, 5)))),
            lambda: row(*d.radios(3, 5)),
            d.area,
            d.slider,
            d.dropdown,
            lambda: d.text_field(),
        ])  # fmt: skip
        title = d.heading(d.rng.choice([3, 4]), f"{number + 1}. {d.phrase(3, 9)}")
        body = column(title, f'<div class="x-fill">{answer}</div>')
        questions.append(d.card(body) if d.chance(0.5) else body)
    progress = d.progress() if d.chance(0.5) else ""
    inside = column(progress, *questions, row(d.button(), d.button(), style="x-ends"))
    return shell(d, f'<div class="x-text">{inside}</div>', side=0.15)


def wizard(d: Draw) -> str:
    """Draw one of several steps."""
    count = d.rng.randint(3, 5)
    at = d.rng.randrange(count)
    steps = [
        div(
            div(str(i + 1), kind="x-letter", style="" if i <= at else "opacity:.4"),
            d.term(10),
            kind="x-row x-tight x-still",
        )
        for i in range(count)
    ]
    sliders = [d.labeled(d.slider()) for _ in range(d.rng.randint(1, 2))]
    parts = (
        [d.field() for _ in range(d.rng.randint(1, 4))]
        + sliders
        + [column(*d.radios()), d.toggle(), d.toggle(), d.checkbox()]
    )
    d.rng.shuffle(parts)
    body = column(d.heading(2), muted(d.sentence()), *parts[: d.rng.randint(4, 7)])
    ends = row(d.button(), row(d.ghost(), d.button()), style="x-ends")
    progress = row(*steps, style="x-ends") if not d.narrow else d.progress()
    return shell(
        d,
        f'<div class="x-narrow" style="--narrow:640px">{column(progress, d.card(body), ends)}</div>',
        side=0.1,
        title=False,
    )


def account(d: Draw) -> str:
    """Draw the profile of a person with what may be changed."""
    head = row(
        d.face(d.rng.choice([64, 88, 112])),
        f'<div class="x-wide">{d.heading(2, d.name())}{muted(d.sentence())}</div>',
        d.button(),
        d.icon_button(),
    )
    tabs = d.tabs()
    form = grid([d.field() for _ in range(d.rng.randint(3, 6))], 240)
    switches = column(*(_setting(d, d.toggle(" ")) for _ in range(d.rng.randint(2, 4))), d.labeled(d.slider()))
    extra = column(d.heading(3), *(d.checkbox() for _ in range(3)), *d.radios(2, 3))
    visits = column(d.heading(3), table(d, 3, 4))
    cards = [d.card(part) for part in d.some([form, switches, extra, visits], 2, 4)]
    cover = d.picture(d.rng.randint(90, 160)) if d.chance(0.4) else ""
    side = f'<div style="width:180px">{menu(d, 3, 5)}</div>' if not d.narrow and d.chance(0.3) else ""
    main = div(side, div(*cards, kind="x-wide x-col"), kind="x-row", style="align-items:flex-start")
    return shell(d, cover + head + tabs + main + row(d.button(), d.ghost()), side=0.2, title=False)


def booking(d: Draw) -> str:
    """Draw a search for journeys or rooms: fields side by side, filters, results."""
    where = row(*(wide(d.labeled(d.one([d.text_field, d.dropdown]))) for _ in range(d.rng.randint(2, 4))), d.button())
    choices = row(*d.radios(2, 3), d.checkbox(), d.toggle())
    results = [
        d.card(
            row(
                f'<div style="width:90px">{d.picture(70)}</div>',
                f'<div class="x-wide">{d.heading(4)}{muted(d.phrase(3, 8))}{d.link()}</div>',
                f"<b>{d.money()}</b>",
                d.button(),
            )
        )
        for _ in range(d.rng.randint(2, 5))
    ]
    price = column(d.heading(4), d.labeled(d.slider()), *(d.checkbox() for _ in range(d.rng.randint(2, 4))))
    tabs = d.tabs() if d.chance(0.5) else ""
    return shell(d, tabs + d.card(column(where, choices)) + (price if d.chance(0.5) else "") + "".join(results), side=0)
