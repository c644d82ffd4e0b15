"""Random themes: style sheets, fonts, colors, roundness and spacing of a page."""

from __future__ import annotations

import colorsys
import random
from dataclasses import dataclass
from pathlib import Path

from examples.ui_elements.kits.kit import Kit, KitTheme
from examples.ui_elements.page_content import Words, fonts

SHARED_CSS = Path(__file__).with_name("kits") / "shared.css"


@dataclass(frozen=True)
class Theme:
    """Theme of a page."""

    sheets: tuple[str, ...]
    """Style sheets in `node_modules`."""

    css: str
    """Content of the page's own `<style>`."""

    attributes: str
    """Attributes of `<html>`."""

    body: str
    """Classes of `<body>`."""

    dark: bool
    """Whether the page is dark."""


def draw_theme(rng: random.Random, kit: Kit, words: Words) -> Theme:
    """Return a random theme for a kit and a language."""
    style = rng.choice(kit.themes)
    font_sheets, family = fonts(words.language, rng)
    dark = style.dark
    page = ""
    if kit.name == "generic":
        dark = rng.random() < 0.35
        page = _ground(rng, dark)
    elif not dark and rng.random() < 0.3:
        page = f"body {{ background: {_tint(rng)} }}"
    variables = _colors(rng, dark) | _shapes(rng)
    css = [f":root {{ {'; '.join(f'--x-{name}: {value}' for name, value in variables.items())} }}", kit.css, page]
    if family:
        css.append(_family_rule(rng, kit, family, words))
    attributes = f'lang="{words.language}" dir="{words.direction}" {style.attributes}'
    return Theme((*style.sheets, *font_sheets), "\n".join(css), attributes, _body(style), dark)


def _body(style: KitTheme) -> str:
    return f"x-page {style.body}".strip()


def _family_rule(rng: random.Random, kit: Kit, family: str, words: Words) -> str:
    """Return the CSS rule that sets the font family, for the whole page or its headings."""
    everywhere = kit.name in ("generic", "native") or words.language != "en" or rng.random() < 0.5
    where = ".x-page, .x-page :not(svg, svg *, i, code)" if everywhere else ".x-page h1, .x-page h2, .x-page h3"
    return f"{where} {{ font-family: {family} !important }}"


def _hex(hue: float, saturation: float, lightness: float) -> str:
    red, green, blue = colorsys.hls_to_rgb(hue % 1, lightness, saturation)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def _ground(rng: random.Random, dark: bool) -> str:
    hue, saturation = rng.random(), rng.choice([0, 0, 0.1, 0.3])
    background = _hex(hue, saturation, rng.uniform(0.05, 0.2) if dark else rng.choice([1, 1, rng.uniform(0.93, 1)]))
    text = _hex(hue, saturation / 2, rng.uniform(0.82, 0.98) if dark else rng.uniform(0, 0.25))
    link = rng.choice(["var(--x-accent)", "var(--x-accent)", "inherit"])
    line = rng.choice(["underline", "none"]) if link != "inherit" else "underline"
    weights = rng.choice([500, 600, 700, 700, 800])
    return (
        f"body {{ background: {background}; color: {text}; font-family: sans-serif; "
        f"color-scheme: {'dark' if dark else 'light'} }} a:not([class]) {{ color: {link}; text-decoration: {line} }} "
        f"h1, h2, h3, h4 {{ font-weight: {weights}; line-height: 1.2 }} "
        f"h1 {{ font-size: {rng.uniform(1.6, 2.5):.2f}em }} h2 {{ font-size: {rng.uniform(1.35, 1.7):.2f}em }} "
        f"h3, h4 {{ font-size: {rng.uniform(1.12, 1.3):.2f}em }} "
        "input[type=checkbox], input[type=radio], input[type=range], progress { accent-color: var(--x-accent) }"
    )


def _tint(rng: random.Random) -> str:
    return _hex(rng.random(), rng.choice([0, 0.2, 0.4]), rng.uniform(0.94, 0.985))


def _colors(rng: random.Random, dark: bool) -> dict[str, str]:
    hue = rng.random()
    accent = _hex(hue, rng.uniform(0.45, 1), rng.uniform(0.55, 0.72) if dark else rng.uniform(0.28, 0.5))
    solid = _hex(hue, 0.12, rng.uniform(0.1, 0.2)) if dark else rng.choice(["#fff", "#fff", "#fdfdfd", _tint(rng)])
    colors = {"accent": accent, "on": "#111" if dark else "#fff", "solid": solid}
    colors["surface"] = rng.choice(["transparent", solid, "color-mix(in srgb, currentColor 4%, transparent)"])
    colors["field"] = rng.choice(["transparent", solid])
    bold = {
        "side": (_hex(hue, 0.35, rng.uniform(0.1, 0.25)), "#e8e8ec"),
        "bar": (accent, colors["on"]),
        "hero": (accent, colors["on"]),
    }
    for place, (ground, text) in bold.items():
        if rng.random() < 0.35:
            colors |= {place: ground, f"{place}-text": text}
    if rng.random() < 0.5:
        colors |= {"thumb-fill": "#fff", "thumb-edge": rng.choice(["#888", "var(--x-accent)"])}
    colors["toast"] = rng.choice(["#222", "#14532d", "#7f1d1d", "#1e3a8a", "#333"])
    return colors


def _shapes(rng: random.Random) -> dict[str, str]:
    radius = rng.choice([0, 2, 4, 6, 8, 12, 16])
    return {
        "size": f"{rng.choice([13, 14, 14, 15, 16, 16, 17, 18])}px",
        "radius": f"{radius}px",
        "round": rng.choice([f"{radius}px", f"{radius}px", "99px"]),
        "gap": f"{rng.choice([8, 10, 12, 14, 18])}px",
        "pad": f"{rng.choice([12, 16, 16, 20, 24])}px",
        "high": f"{rng.choice([28, 32, 36, 38, 40, 44, 48])}px",
        "shadow": rng.choice(["none", "none", "0 1px 3px rgba(0,0,0,.2)", "0 6px 18px rgba(0,0,0,.13)"]),
        "line": f"color-mix(in srgb, currentColor {rng.choice([0, 10, 15, 22, 40])}%, transparent)",
        "tick": f"{rng.choice([14, 16, 18, 20, 22, 24])}px",
        "edge": f"{rng.choice([1, 1.5, 2, 2])}px",
        "switch": f"{rng.choice([16, 18, 20, 22, 24, 28, 31])}px",
        "long": f"{rng.choice([1.6, 1.75, 1.8, 2])}",
        "inset": f"{rng.choice([2, 2, 3, 4])}px",
        "switch-round": rng.choice(["99px", "99px", "99px", "4px"]),
        "track": f"{rng.choice([2, 4, 4, 6, 8])}px",
        "thumb": f"{rng.choice([12, 14, 16, 18, 20, 24])}px",
        "thumb-round": rng.choice(["50%", "50%", "50%", "3px"]),
        "weight": rng.choice(["400", "500", "600", "700"]),
        "case": rng.choice(["none", "none", "none", "uppercase"]),
        "tab-gap": f"{rng.choice([0, 2, 6, 14])}px",
        "cell": f"{rng.choice([5, 8, 10, 14])}px",
        "head": f"{rng.choice([0, 6, 10])}%",
    }
