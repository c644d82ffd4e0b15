"""Content of pages: words, icons and fonts of npm packages, and synthetic images."""

from __future__ import annotations

import functools
import random
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

RIGHT_TO_LEFT = ("ar", "he")
# Weights of the languages: most pages use Latin letters, and every script occurs.
LANGUAGES = {
    "en": 30, "de": 6, "fr": 6, "es": 6, "pl": 4, "tr": 4, "vi": 3, "ru": 5, "el": 3, "ar": 4, "he": 3, "hi": 4,
    "th": 3, "zh": 6, "ja": 5, "ko": 4,
}  # fmt: skip
_ICON_FOLDERS = (
    "bootstrap-icons/icons",
    "@mdi/svg/svg",
    "remixicon/icons/System",
    "lucide-static/icons",
    "@tabler/icons/icons/outline",
    "@tabler/icons/icons/filled",
)
_MEANINGS = {
    "menu": "menu|list|menu-2|menu-line",
    "search": "search|magnify|search-line",
    "close": "x|close|x-lg|close-line",
    "down": "chevron-down|arrow-down-s-line|arrow-drop-down-line",
    "more": "dots|three-dots|more-line|dots-vertical|three-dots-vertical|more-2-line|ellipsis|dots-horizontal",
}
_FONTS = {
    "ar": "noto-sans-arabic", "he": "noto-sans-hebrew", "hi": "noto-sans-devanagari", "th": "noto-sans-thai",
    "zh": "noto-sans-sc",
    "ja": "noto-sans-jp", "ko": "noto-sans-kr", "ru": "noto-sans", "el": "noto-sans", "vi": "noto-sans",
}  # fmt: skip
_LATIN = [
    "ibm-plex-sans", "inter", "jetbrains-mono", "lato", "merriweather", "montserrat", "noto-sans", "nunito",
    "open-sans", "playfair-display", "poppins", "raleway", "roboto", "rubik", "source-sans-3", "work-sans",
]  # fmt: skip


@dataclass(frozen=True)
class Words:
    """Text of one language."""

    language: str
    """ISO 639-1 code."""

    terms: tuple[str, ...]
    """Labels of buttons, menus and fields."""

    words: tuple[str, ...]
    """Words of running text."""

    names: tuple[str, ...]
    """Invented names of people."""

    @property
    def direction(self) -> str:
        """Writing direction, as HTML's `dir`."""
        return "rtl" if self.language in RIGHT_TO_LEFT else "ltr"

    @property
    def space(self) -> str:
        """Separator between words."""
        return "" if self.language in ("zh", "ja", "th") else " "


@functools.cache
def words(language: str) -> Words:
    """Return the words of a language."""
    table = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))[language]
    return Words(
        language,
        tuple(table["terms"].strip().split("|")),
        tuple(table["words"].split()),
        tuple(table["names"].strip().split("|")),
    )


class Icons:
    """One family of icons. A page uses only one."""

    def __init__(self, modules: Path, rng: random.Random) -> None:
        self._folder = modules / rng.choice(_ICON_FOLDERS)
        self._names = _names(self._folder)
        self._rng = rng

    def draw(self, meaning: str = "", style: str = "") -> str:
        """Return an icon as inline SVG: one with a meaning, or a random one."""
        wanted = [name for name in _MEANINGS.get(meaning, "").split("|") if f"{name}.svg" in self._names]
        name = f"{self._rng.choice(wanted)}.svg" if wanted else self._rng.choice(tuple(self._names))
        if meaning == "down" and not wanted:
            return f'<svg class="x-i" style="{style}" viewBox="0 0 24 24"><path d="M7 10l5 5 5-5z"/></svg>'
        return _inline(self._folder / name, style)


@functools.cache
def _names(folder: Path) -> dict[str, None]:
    names = sorted(path.name for path in folder.glob("*.svg"))
    solid = [name for name in names if not re.search(r"logo|brand|-off|slash|alpha|numeric|letter|[0-9]", name)]
    return dict.fromkeys(solid or names)


@functools.cache
def _inline(path: Path, style: str) -> str:
    text = re.sub(r"<!--.*?-->|<\?xml.*?\?>|\n", " ", path.read_text(encoding="utf-8"), flags=re.S)
    text = re.sub(
        r"(?<=<svg)(?P<rest>[^>]*)",
        lambda m: re.sub(r'\s(class|width|height|id|xmlns)="[^"]*"', "", m["rest"]),
        text,
        count=1,
    )
    return text.replace("<svg", f'<svg class="x-i" style="{style}"', 1)


def fonts(language: str, rng: random.Random) -> tuple[list[str], str]:
    """Return style sheets in node_modules and a font family. Both are empty if the page keeps its own fonts."""
    script = _FONTS.get(language)
    latin = rng.choice([*_LATIN, "", "", "", "", ""])
    chosen = [name for name in dict.fromkeys((latin, script)) if name]
    sheets = [f"@fontsource/{name}/{weight}.css" for name in chosen for weight in (400, 700)]
    families = ", ".join(f"'{_family(name)}'" for name in chosen)
    return sheets, f"{families}, sans-serif" if latin else families


def _family(package: str) -> str:
    special = {
        "ibm-plex-sans": "IBM Plex Sans",
        "noto-sans-sc": "Noto Sans SC",
        "noto-sans-jp": "Noto Sans JP",
        "noto-sans-kr": "Noto Sans KR",
        "jetbrains-mono": "JetBrains Mono",
    }
    return special.get(package, package.replace("-", " ").title())


def write_images(folder: Path, count: int, seed: int) -> None:
    """Write `count` images that resemble photographs and drawings, as `0.jpg`, `1.jpg` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        image = (_landscape, _cloud, _shapes, _person, _thing)[number % 5](rng)
        cv2.imwrite(str(folder / f"{number}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 88])


Image = NDArray[np.uint8]
_HIGH, _WIDE = 300, 400


def _color(rng: np.random.Generator, low: int = 20, high: int = 245) -> NDArray[np.float64]:
    return rng.uniform(low, high, 3)


def _noise(rng: np.random.Generator, octaves: int = 6) -> NDArray[np.float64]:
    """Return fractal noise (H, W) in 0..1."""
    total = np.zeros((_HIGH, _WIDE))
    for octave in range(octaves):
        grain = rng.random((3 * 2**octave, 4 * 2**octave))
        total += np.asarray(cv2.resize(grain, (_WIDE, _HIGH), interpolation=cv2.INTER_CUBIC), np.float64) / 1.7**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)


def _ramp(rng: np.random.Generator) -> NDArray[np.float64]:
    across = np.linspace(0, 1, _HIGH)[:, None, None]
    return np.broadcast_to(_color(rng) * (1 - across) + _color(rng) * across, (_HIGH, _WIDE, 3)).copy()


def _finish(rng: np.random.Generator, image: NDArray[np.float64]) -> Image:
    grainy = image + rng.normal(0, 5, image.shape)
    return np.clip(grainy, 0, 255).astype(np.uint8)


def _cloud(rng: np.random.Generator) -> Image:
    amount = _noise(rng)[..., None]
    return _finish(rng, _color(rng) * amount + _color(rng) * (1 - amount))


def _landscape(rng: np.random.Generator) -> Image:
    image = _ramp(rng) * 0.8 + 40 * _noise(rng)[..., None]
    ridge_from = rng.uniform(0.35, 0.6)
    for layer in range(4):
        steps = cv2.resize(rng.random((1, 5 + 4 * layer)), (_WIDE, 1), interpolation=cv2.INTER_CUBIC)[0]
        top = (ridge_from + 0.13 * layer + 0.16 * (steps - 0.5)) * _HIGH
        ground = np.arange(_HIGH)[:, None] > top[None]
        shade = _color(rng, 15, 190 - 30 * layer) * (0.75 + 0.5 * _noise(rng, 7)[..., None])
        image = np.where(ground[..., None], shade, image)
    return _finish(rng, image)


def _shapes(rng: np.random.Generator) -> Image:
    image = np.ascontiguousarray(_ramp(rng).astype(np.uint8))
    for _ in range(rng.integers(5, 16)):
        x, y = int(rng.integers(0, _WIDE)), int(rng.integers(0, _HIGH))
        color = _color(rng).tolist()
        if rng.random() < 0.5:
            cv2.circle(image, (x, y), int(rng.integers(12, 110)), color, -1, cv2.LINE_AA)
        else:
            corners = np.array((x, y)) + rng.integers(-90, 90, (4, 2))
            cv2.fillConvexPoly(image, cv2.convexHull(corners.astype(np.int32)), color, cv2.LINE_AA)
    return image


def _person(rng: np.random.Generator) -> Image:
    image = np.ascontiguousarray((_ramp(rng) * 0.6 + 90 * _noise(rng)[..., None]).clip(0, 255).astype(np.uint8))
    image = cv2.GaussianBlur(image, (0, 0), 6).astype(np.uint8)
    x, tall, skin = (
        int(rng.integers(170, 230)),
        int(rng.integers(60, 80)),
        rng.uniform([60, 90, 140], [170, 200, 240]).tolist(),
    )
    cv2.ellipse(image, (x, 330), (int(rng.integers(105, 150)), 135), 0, 180, 360, _color(rng).tolist(), -1, cv2.LINE_AA)
    cv2.rectangle(image, (x - 24, 170), (x + 24, 220), [v * 0.85 for v in skin], -1)
    cv2.ellipse(image, (x, 112), (tall - 2, tall + 16), 0, 0, 360, _color(rng, 10, 110).tolist(), -1, cv2.LINE_AA)
    cv2.ellipse(image, (x, 132), (tall - 12, tall + 4), 0, 0, 360, skin, -1, cv2.LINE_AA)
    for side in (-1, 1):
        cv2.circle(image, (x + side * 21, 124), 5, (30, 25, 25), -1, cv2.LINE_AA)
    cv2.ellipse(image, (x, 160), (18, 8), 0, 0, 180, (70, 60, 150), 3, cv2.LINE_AA)
    return _finish(rng, image.astype(np.float64) + 14 * (_noise(rng)[..., None] - 0.5))


def _thing(rng: np.random.Generator) -> Image:
    """Draw a product in front of a bright wall: a body lit from one side, and its shadow."""
    base = rng.uniform(205, 250)
    image = np.full((_HIGH, _WIDE, 3), base) - np.linspace(0, 22, _HIGH)[:, None, None]
    body = np.zeros((_HIGH, _WIDE), np.uint8)
    wide, high = int(rng.integers(45, 120)), int(rng.integers(55, 105))
    if rng.random() < 0.5:
        cv2.ellipse(body, (200, 150), (wide, high), 0, 0, 360, 255, -1, cv2.LINE_AA)
    else:
        cv2.rectangle(body, (200 - wide, 150 - high), (200 + wide, 150 + high), 255, -1)
        body = cv2.GaussianBlur(body, (0, 0), 5).astype(np.uint8)
    shadow = cv2.GaussianBlur(np.roll(body, (16, 9), (0, 1)), (0, 0), 17)[..., None] / 255
    image = image * (1 - 0.35 * shadow)
    light = np.linspace(1.25, 0.6, _WIDE)[None, :, None] * (0.9 + 0.2 * _noise(rng)[..., None])
    amount = body[..., None] / 255
    image = image * (1 - amount) + _color(rng, 20, 220) * light * amount
    return _finish(rng, image)
