"""Random components of one design system, with text of one language, for page types to compose."""

from __future__ import annotations

import html
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from examples.ui_elements.kits.kit import Kit, kit
from examples.ui_elements.page_content import Icons, Words

GENERIC_COMPONENT_SHARE = 0.12  # of a kit's `own` components that use the markup of `generic`
Maker = Callable[[], str]
Thing = TypeVar("Thing")
_TYPES = ("text", "text", "text", "email", "password", "tel", "number", "date", "url")


@dataclass
class RandomPage:
    """Components of one page, chosen at random."""

    rng: random.Random
    """Source of all choices."""

    kit: Kit
    """Design system of the page."""

    words: Words
    """Language of the page."""

    icons: Icons
    """Icon family of the page."""

    images: list[Path]
    """Files to show as images. Every fifth from the fourth on is a person."""

    narrow: bool
    """Whether the window is as narrow as a phone."""

    _ids: int = field(default=0)

    # ---- text
    def term(self, longest: int = 28) -> str:
        """Return a label of a button or field."""
        fitting = [term for term in self.words.terms if len(term) <= longest]
        return html.escape(self.rng.choice(fitting or self.words.terms))

    def phrase(self, low: int = 2, high: int = 6) -> str:
        """Return some words, capitalized."""
        text = self.words.space.join(self.rng.choices(self.words.words, k=self.rng.randint(low, high)))
        return html.escape(text[:1].upper() + text[1:])

    def sentence(self) -> str:
        """Return a sentence."""
        return self.phrase(6, 16) + ("。" if self.words.language in ("zh", "ja") else ".")

    def paragraph(self, low: int = 2, high: int = 5, links: float = 0.2) -> str:
        """Return a paragraph. A share of its sentences is followed by a link."""
        sentences = [self.sentence() for _ in range(self.rng.randint(low, high))]
        return (
            "<p>"
            + " ".join(
                f"{one} {self.link(self.phrase(1, 4))}" if self.rng.random() < links else one for one in sentences
            )
            + "</p>"
        )

    def name(self) -> str:
        """Return the name of a person."""
        return html.escape(self.rng.choice(self.words.names))

    def money(self) -> str:
        """Return a price."""
        amount = self.rng.choice([self.rng.uniform(1, 99), self.rng.uniform(100, 9999)])
        return self.rng.choice(["${:,.2f}", "€{:,.0f}", "{:,.2f} €", "£{:,.2f}", "¥{:,.0f}"]).format(amount)

    def date(self) -> str:
        """Return a date or a time."""
        day, month = self.rng.randint(1, 28), self.rng.randint(1, 12)
        return self.rng.choice(
            [f"2026-{month:02}-{day:02}", f"{day}.{month}.2026", f"{month}/{day}/26", f"{day:02}:{month * 4:02}"]
        )

    def some(self, items: Sequence[Thing], low: int, high: int) -> list[Thing]:
        """Return `low` to `high` items in random order."""
        return self.rng.sample(list(items), min(len(items), self.rng.randint(low, high)))

    def one(self, makers: Sequence[Maker]) -> str:
        """Return the result of one of the makers."""
        return self.rng.choice(makers)()

    def chance(self, share: float) -> bool:
        """Return True with a probability of `share`."""
        return self.rng.random() < share

    # ---- components
    def part(self, component: str, **values: Any) -> str:
        """Return a component in the markup of the kit, or sometimes of `generic`."""
        foreign = component in self.kit.own and self.chance(GENERIC_COMPONENT_SHARE)
        source = kit("generic") if foreign else self.kit
        self._ids += 1
        on = values.get("checked", False)
        usual = {
            "id": f"i{self._ids}",
            "name": f"n{self._ids}",
            "text": "",
            "label": "",
            "hint": "",
            "value": "",
            "type": "text",
            "icon": "",
            "caret": "",
            "rows": 3,
            "first": "",
            "options": "",
            "tone": source.tones[0],
            "shade": self.rng.choice(["", source.tones[0].replace("btn-", f"{component}-")]),
            "size": "",
            "off": "",
            "off_class": "",
            "on": " checked" if on else "",
            "state": "x-set" if on else "",
            "ant": " ant-checkbox-checked" if on else "",
            "ant_radio": " ant-radio-checked" if on else "",
            "ant_switch": " ant-switch-checked" if on else "",
            "el": " is-checked" if on else "",
            "small": self.rng.choice(["", "govuk-checkboxes--small"]),
            "small_radio": self.rng.choice(["", "govuk-radios--small"]),
        }
        return self.rng.choice(source.variants(component)).format(**(usual | values))

    def icon(self, meaning: str = "", size: float = 0) -> str:
        """Return an icon of `size` pixels. With 0 it has the size of the text."""
        return self.icons.draw(meaning, f"width:{size:g}px;height:{size:g}px" if size else "")

    def _button_style(self, plain: bool = False) -> dict[str, str]:
        tones = self.kit.tones
        tone = tones[0] if plain or self.chance(0.4) else self.rng.choice(tones)
        off = self.chance(0.05)
        return {
            "tone": tone,
            "size": self.rng.choice(self.kit.sizes),
            "off": " disabled" if off else "",
            "off_class": " disabled" if off else "",
        }

    def button(self, text: str = "", icon: float = 0.25) -> str:
        """Return a button with a text and sometimes an icon."""
        mark = self.icon() if self.chance(icon) else ""
        return self.part("button", text=text or self.term(20), icon=mark, **self._button_style())

    def ghost(self) -> str:
        """Return a button without a body."""
        return self.part("ghost", text=self.term(20))

    def icon_button(self, meaning: str = "") -> str:
        """Return a button with only an icon."""
        return self.part("icon_button", icon=self.icon(meaning), text=self.term(), **self._button_style())

    def bare_icon(self, meaning: str = "") -> str:
        """Return a clickable icon without a body."""
        return f'<button type="button" class="x-bare">{self.icon(meaning, self.rng.choice([0, 0, 20, 24]))}</button>'

    def opener(self) -> str:
        """Return a button with an arrow that opens a list."""
        return self.part("opener", text=self.term(18), caret=self.icon("down"), **self._button_style())

    def link(self, text: str = "") -> str:
        """Return a link."""
        return self.part("link", text=text or self.term())

    def labeled(self, control: str, label: str = "") -> str:
        """Return a control with its label above."""
        return f'<div class="x-fill">{self.part("field", label=label or self.term(), control=control)}</div>'

    def _filling(self) -> dict[str, str]:
        kind = self.rng.choice(_TYPES)
        values = {
            "email": "ada@example.org",
            "password": "secret-word",
            "tel": "+44 20 7946 0",
            "number": "42",
            "date": "2026-03-14",
            "url": "https://example.org",
        }
        value = values.get(kind, self.phrase(1, 3)) if self.chance(0.45) else ""
        return {"type": kind, "value": value, "hint": self.term() if not value and self.chance(0.75) else ""}

    def text_field(self, **more: str) -> str:
        """Return a text field of one line."""
        off = " disabled" if self.chance(0.05) else ""
        return self.part("text_field", icon=self.icon(), off=off, **(self._filling() | more))

    def area(self) -> str:
        """Return a text field of several lines."""
        text = self.sentence() if self.chance(0.5) else ""
        return self.part("area", rows=self.rng.randint(2, 6), value=text, hint="" if text else self.term())

    def search(self) -> str:
        """Return a search field."""
        return self.part("search", icon=self.icon("search"), hint=self.term(), text=self.term(10))

    def dropdown(self) -> str:
        """Return a closed drop-down."""
        options = [self.term() for _ in range(4)]
        return self.part(
            "dropdown",
            first=options[0],
            caret=self.icon("down"),
            options="".join(f"<option>{one}</option>" for one in options),
        )

    def field(self) -> str:
        """Return a field or drop-down with its label."""
        makers: list[Maker] = [self.text_field, self.dropdown, self.area]
        control = self.rng.choices(makers, [6, 3, 1])[0]()
        return self.labeled(control)

    def checkbox(self, label: str = "", checked: bool | None = None) -> str:
        """Return a checkbox with a label."""
        return self.part(
            "checkbox", label=label or self.term(), checked=self.chance(0.45) if checked is None else checked
        )

    def radios(self, low: int = 2, high: int = 4) -> list[str]:
        """Return radio buttons, one of them selected."""
        count = self.rng.randint(low, high)
        chosen, name = self.rng.randrange(count), f"r{self.rng.random():.9f}"
        return [self.part("radio", label=self.term(), checked=i == chosen, name=name) for i in range(count)]

    def toggle(self, label: str = "") -> str:
        """Return a toggle with a label."""
        return self.part("toggle", label=label or self.term(), checked=self.chance(0.5))

    def slider(self) -> str:
        """Return a slider."""
        return f'<div class="x-long">{self.part("slider", value=self.rng.randint(8, 92))}</div>'

    def tabs(self, low: int = 3, high: int = 6) -> str:
        """Return a row of tabs."""
        count = self.rng.randint(low, min(high, 4 if self.narrow else high))
        active, icons = self.rng.randrange(count), self.chance(0.3)
        parts = [
            self.part("tab_on" if i == active else "tab", text=self.term(14), icon=self.icon() if icons else "")
            for i in range(count)
        ]
        return self.part("tabs", tabs="".join(parts))

    def heading(self, level: int, text: str = "") -> str:
        """Return a heading of a level."""
        return f"<h{level}>{text or self.phrase(1, 5)}</h{level}>"

    def card(self, body: str) -> str:
        """Return a card around a body."""
        return self.part("card", body=body)

    def badge(self) -> str:
        """Return a badge, which is not clickable."""
        return self.part("badge", text=self.term(10), tone=self.rng.choice(self.kit.tones))

    def alert(self) -> str:
        """Return an alert within the page."""
        return self.part("alert", text=self.sentence(), tone=self.rng.choice(self.kit.tones))

    def progress(self) -> str:
        """Return a progress bar, which is not a slider."""
        return self.part("progress", value=self.rng.randint(8, 95), tone=self.rng.choice(self.kit.tones))

    def pager(self) -> str:
        """Return a pager with page numbers."""
        count = self.rng.randint(3, 4 if self.narrow else 7)
        active = self.rng.randint(1, count)
        pages = [self.part("page_on" if i == active else "page", text=str(i)) for i in range(1, count + 1)]
        return self.part("pager", pages="".join(pages))

    # ---- images
    def image(self, high: int = 0, round_: str = "") -> str:
        """Return an image as wide as its container."""
        size = f"--high:{high or self.rng.randint(90, 220)}px;--round:{round_ or 0}"
        return f'<img class="x-pic" style="{size}" src="{self.rng.choice(self.images).as_uri()}">'

    def face(self, size: int = 0) -> str:
        """Return the image of a person."""
        people = self.images[3::5]
        side = size or self.rng.choice([28, 32, 36, 40, 48])
        corner = self.rng.choice(["50%", "50%", "50%", "6px"])
        source = self.rng.choice(people).as_uri()
        return f'<img class="x-face" style="--face:{side}px;--face-round:{corner}" src="{source}">'

    def chart(self, high: int = 0) -> str:
        """Return an SVG chart: lines, bars or a ring."""
        tall = high or self.rng.randint(120, 220)
        kind = self.rng.choice([_bars, _lines, _ring])
        frame = f'style="display:block;width:100%;height:{tall}px" viewBox="0 0 400 200" preserveAspectRatio="none"'
        return f"<svg {frame}>{kind(self.rng)}</svg>"


def _axis() -> str:
    rows = "".join(f'<path d="M20 {y}H395" stroke="currentColor" opacity=".18"/>' for y in (20, 60, 100, 140, 180))
    return f'{rows}<path d="M20 5V180H395" stroke="currentColor" fill="none" opacity=".5"/>'


def _shade(rng: random.Random) -> str:
    return f"hsl({rng.randrange(360)} {rng.randint(45, 90)}% {rng.randint(40, 62)}%)"


def _bars(rng: random.Random) -> str:
    count, color = rng.randint(5, 14), _shade(rng)
    step = 370 / count
    bars = (
        f'<path d="M{24 + i * step:.1f} 180v{-high:.1f}h{step * 0.65:.1f}V180Z" fill="{color}"/>'
        for i, high in enumerate(rng.uniform(15, 170) for _ in range(count))
    )
    return _axis() + "".join(bars)


def _lines(rng: random.Random) -> str:
    drawn = []
    for _ in range(rng.randint(1, 3)):
        color, points = _shade(rng), [(20 + i * 375 / 9, rng.uniform(15, 175)) for i in range(10)]
        path = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="3"/>')
        if rng.random() < 0.4:
            drawn.append(f'<polygon points="20,180 {path} 395,180" fill="{color}" opacity=".25"/>')
    return _axis() + "".join(drawn)


def _ring(rng: random.Random) -> str:
    cuts = [0.0, *sorted(rng.random() for _ in range(rng.randint(2, 4))), 1.0]
    parts = []
    for start, end in itertools.pairwise(cuts):
        a, b = (2 * math.pi * share for share in (start, end))
        big = int(end - start > 0.5)
        ends = [f"{200 + 90 * math.cos(t):.1f} {100 + 90 * math.sin(t):.1f}" for t in (a, b)]
        parts.append(f'<path d="M200 100L{ends[0]}A90 90 0 {big} 1 {ends[1]}Z" fill="{_shade(rng)}"/>')
    return "".join(parts)
