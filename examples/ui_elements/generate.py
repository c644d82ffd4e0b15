"""Make the dataset: `python -m examples.ui_elements.generate --count 6000 --seed 0 --output DIR`."""

from __future__ import annotations

import argparse
import html
import json
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from examples.ui_elements import page_content
from examples.ui_elements.browser import INSTALL, MODULES, STILL, Camera, Screen, chromium
from examples.ui_elements.coco import Scene, save_picture, write_dataset
from examples.ui_elements.errors import told
from examples.ui_elements.kits import splits as kits
from examples.ui_elements.kits.kit import kit
from examples.ui_elements.pages import splits as pages
from examples.ui_elements.pages.parts import overlays
from examples.ui_elements.random_page import Draw
from examples.ui_elements.theme import HOUSE, draw_theme
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import write_atomic

VERSION = "1"
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
SHELVES = {
    "train": (kits.TRAIN, pages.TRAIN),
    "val": (kits.VAL, pages.VAL),
    "test": (kits.TEST, pages.TEST),
}
# Windows (width, height, how often): phones, tablets, windows that are not maximized, laptops.
WINDOWS = [
    (360, 640, 2), (375, 667, 2), (390, 844, 3), (412, 915, 2), (430, 932, 1), (600, 960, 1), (768, 1024, 2),
    (820, 1180, 1), (640, 480, 2), (720, 640, 2), (800, 600, 3), (900, 700, 2), (1024, 640, 2), (1024, 768, 4),
    (1152, 720, 2), (1280, 720, 3), (1280, 800, 2), (1366, 768, 1), (1440, 900, 1),
]  # fmt: skip
PICTURES = 240
EMPTIEST = 3  # elements: pages with fewer are drawn again


@dataclass(frozen=True)
class Order:
    """One page to draw: its place in a split of a dataset of a seed."""

    split: str
    number: int
    seed: int
    output: Path


def draw_page(order: Order, attempt: int) -> tuple[str, Screen, int, dict[str, str]]:
    """Return a page as HTML, its window, how far it is scrolled and what is to be told of it."""
    rng = random.Random(f"{VERSION} {order.seed} {order.split} {order.number} {attempt}")
    system = kit(_draw(rng, SHELVES[order.split][0]))
    page_type = _draw(rng, SHELVES[order.split][1])
    words = page_content.words(_draw(rng, list(page_content.LANGUAGES.items())))
    width, height = _draw(rng, [((w, h), often) for w, h, often in WINDOWS])
    screen = Screen(height, width, rng.choice([1, 1, 1, 1.25, 1.5, 2]) if max(width, height) < 1000 else 1)
    theme = draw_theme(rng, system, words)
    found = [order.output / "pictures" / f"{i}.jpg" for i in range(PICTURES)]
    pencil = Draw(rng, system, words, page_content.Icons(MODULES, rng), found, narrow=width < 620)
    body = page_type(pencil) + overlays(pencil)
    sheets = "".join(f'<link rel="stylesheet" href="{(MODULES / sheet).as_uri()}">' for sheet in theme.sheets)
    text = (
        f'<!doctype html><html {theme.attributes}><head><meta charset="utf-8">{sheets}'
        f'<link rel="stylesheet" href="{HOUSE.as_uri()}">'
        f'<style>{theme.css}\n{STILL}</style></head><body class="{html.escape(theme.body)}">{body}</body></html>'
    )
    scroll = rng.randint(40, 900) if rng.random() < 0.35 else 0
    facts = {
        "kit": system.name,
        "page": page_type.__name__,
        "language": words.language,
        "dark": str(theme.dark).lower(),
    }
    return text, screen, scroll, facts


def _draw(rng: random.Random, choices: Sequence[tuple[Any, float]]) -> Any:
    return rng.choices([what for what, _ in choices], [often for _, often in choices])[0]


def shoot_page(camera: Camera, order: Order) -> Scene:
    """Draw a page, take its picture and save it."""
    for attempt in range(5):
        text, screen, scroll, facts = draw_page(order, attempt)
        camera.frame(screen)
        camera.show(text, order.output / "pages", scroll)
        shot = camera.shoot(screen)
        if len(shot.labels) >= EMPTIEST:
            break
    return save_picture(order.output, f"{order.split}-{order.number:05}", shot, facts)


def draw_portion(orders: list[Order]) -> list[Scene]:
    """Draw pages with one browser, or read what an interrupted call has drawn of the very same ones."""
    first = orders[0]
    drawn = first.output / "drawn" / f"{first.split}-{first.number:05}.json"
    wanted = [VERSION, *(f"{order.seed} {order.split} {order.number}" for order in orders)]
    if drawn.is_file() and (kept := json.loads(drawn.read_text(encoding="utf-8")))["pages"] == wanted:
        return [Scene(**scene) for scene in kept["scenes"]]
    with chromium() as browser:
        camera = Camera(browser)
        scenes = [shoot_page(camera, order) for order in orders]
        camera.close()
    write_atomic(drawn, json.dumps({"pages": wanted, "scenes": [asdict(scene) for scene in scenes]}).encode())
    return scenes


def _portions(orders: list[Order], size: int = 40) -> Iterator[list[Order]]:
    """Cut the work so that a browser never gets old and a bar moves."""
    return (orders[start : start + size] for start in range(0, len(orders), size))


def generate(output: Path, counts: dict[str, int], seed: int, processes: int = 2) -> None:
    """Write a dataset of `counts` pictures by split to a folder; the same seed gives the same set.

    What an interrupted call has drawn is not drawn again. Raises LineageError where the npm packages are not installed.
    """
    if not MODULES.is_dir():
        raise LineageError(f"expected the design systems in {MODULES}; they are not there; run: {INSTALL}")
    page_content.write_pictures(output / "pictures", PICTURES, seed)
    orders = [
        Order(split, number, seed, output.resolve()) for split, count in counts.items() for number in range(count)
    ]
    scenes: list[Scene] = []
    bar = tqdm(total=len(orders), unit="page", disable=None)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for done in pool.map(draw_portion, _portions(orders)):
            scenes += done
            bar.update(len(done))
    bar.close()
    write_dataset(output, scenes, {"generator": VERSION, "seed": seed})
    for scratch in ("pictures", "pages", "drawn"):
        shutil.rmtree(output / scratch, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and make the dataset."""
    parser = argparse.ArgumentParser(description="Render pages and label the elements of their interfaces.")
    parser.add_argument("--output", type=Path, required=True, help="folder of the dataset")
    parser.add_argument(
        "--count", type=int, default=6000, help="pictures of all splits: 80%% train, 10%% val, 10%% test"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same dataset")
    parser.add_argument("--processes", type=int, default=2, help="browsers at a time")
    options = parser.parse_args(arguments)
    counts = {split: max(1, round(share * options.count)) for split, share in SHARES.items()}
    return told(lambda: generate(options.output, counts, options.seed, options.processes))


if __name__ == "__main__":
    sys.exit(main())
