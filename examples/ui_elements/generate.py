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
from examples.ui_elements.coco import LabeledImage, save_image, write_dataset
from examples.ui_elements.errors import run_main
from examples.ui_elements.kits import splits as kits
from examples.ui_elements.kits.kit import kit
from examples.ui_elements.pages import splits as pages
from examples.ui_elements.pages.parts import overlays
from examples.ui_elements.random_page import RandomPage
from examples.ui_elements.theme import SHARED_CSS, draw_theme
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import write_atomic

VERSION = "1"
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
SPLITS = {
    "train": (kits.TRAIN, pages.TRAIN),
    "val": (kits.VAL, pages.VAL),
    "test": (kits.TEST, pages.TEST),
}
# Windows (width, height, weight): phones, tablets, laptops and windows that are not maximized.
WINDOWS = [
    (360, 640, 2), (375, 667, 2), (390, 844, 3), (412, 915, 2), (430, 932, 1), (600, 960, 1), (768, 1024, 2),
    (820, 1180, 1), (640, 480, 2), (720, 640, 2), (800, 600, 3), (900, 700, 2), (1024, 640, 2), (1024, 768, 4),
    (1152, 720, 2), (1280, 720, 3), (1280, 800, 2), (1366, 768, 1), (1440, 900, 1),
]  # fmt: skip
IMAGE_COUNT = 240
MIN_ELEMENTS = 3  # of a page


@dataclass(frozen=True)
class PageSpec:
    """A page of a dataset. Split, number and seed determine all of it."""

    split: str
    """Split of the dataset."""

    number: int
    """Index within the split."""

    seed: int
    """Seed of the dataset."""

    output: Path
    """Folder of the dataset."""


def draw_page(spec: PageSpec, attempt: int) -> tuple[str, Screen, int, dict[str, str]]:
    """Return a page as HTML, its window, its scroll offset and its properties."""
    rng = random.Random(f"{VERSION} {spec.seed} {spec.split} {spec.number} {attempt}")
    system = kit(_draw(rng, SPLITS[spec.split][0]))
    page_type = _draw(rng, SPLITS[spec.split][1])
    words = page_content.words(_draw(rng, list(page_content.LANGUAGES.items())))
    width, height = _draw(rng, [((w, h), weight) for w, h, weight in WINDOWS])
    screen = Screen(height, width, rng.choice([1, 1, 1, 1.25, 1.5, 2]) if max(width, height) < 1000 else 1)
    theme = draw_theme(rng, system, words)
    images = [spec.output / "content" / f"{i}.jpg" for i in range(IMAGE_COUNT)]
    page = RandomPage(rng, system, words, page_content.Icons(MODULES, rng), images, narrow=width < 620)
    body = page_type(page) + overlays(page)
    sheets = "".join(f'<link rel="stylesheet" href="{(MODULES / sheet).as_uri()}">' for sheet in theme.sheets)
    text = (
        f'<!doctype html><html {theme.attributes}><head><meta charset="utf-8">{sheets}'
        f'<link rel="stylesheet" href="{SHARED_CSS.as_uri()}">'
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
    return rng.choices([value for value, _ in choices], [weight for _, weight in choices])[0]


def capture_page(camera: Camera, spec: PageSpec) -> LabeledImage:
    """Render a page and save its screenshot. A page with too few elements is drawn again, up to five times."""
    for attempt in range(5):
        text, screen, scroll, facts = draw_page(spec, attempt)
        camera.frame(screen)
        camera.show(text, spec.output / "pages", scroll)
        shot = camera.capture(screen)
        if len(shot.labels) >= MIN_ELEMENTS:
            break
    return save_image(spec.output, f"{spec.split}-{spec.number:05}", shot, facts)


def capture_batch(specs: list[PageSpec]) -> list[LabeledImage]:
    """Render pages with one browser, or load the results of an interrupted call with the same pages."""
    first = specs[0]
    drawn = first.output / "drawn" / f"{first.split}-{first.number:05}.json"
    wanted = [VERSION, *(f"{spec.seed} {spec.split} {spec.number}" for spec in specs)]
    if drawn.is_file() and (kept := json.loads(drawn.read_text(encoding="utf-8")))["pages"] == wanted:
        return [LabeledImage(**image) for image in kept["images"]]
    with chromium() as browser:
        camera = Camera(browser)
        images = [capture_page(camera, spec) for spec in specs]
        camera.close()
    write_atomic(drawn, json.dumps({"pages": wanted, "images": [asdict(image) for image in images]}).encode())
    return images


def _batches(specs: list[PageSpec], size: int = 40) -> Iterator[list[PageSpec]]:
    """Split the work into batches, each with a new browser and one update of the progress bar."""
    return (specs[start : start + size] for start in range(0, len(specs), size))


def generate(output: Path, counts: dict[str, int], seed: int, processes: int = 2) -> None:
    """Write a dataset with `counts` images per split. The same seed gives the same dataset.

    Pages that an interrupted call has rendered are not rendered again.

    Raises:
        LineageError: If the npm packages are not installed.
    """
    if not MODULES.is_dir():
        raise LineageError(f"The design systems are not installed in {MODULES}. Run: {INSTALL}")
    page_content.write_images(output / "content", IMAGE_COUNT, seed)
    specs = [
        PageSpec(split, number, seed, output.resolve()) for split, count in counts.items() for number in range(count)
    ]
    images: list[LabeledImage] = []
    bar = tqdm(total=len(specs), unit="page", disable=None)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for done in pool.map(capture_batch, _batches(specs)):
            images += done
            bar.update(len(done))
    bar.close()
    write_dataset(output, images, {"generator": VERSION, "seed": seed})
    for scratch in ("content", "pages", "drawn"):
        shutil.rmtree(output / scratch, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and make the dataset."""
    parser = argparse.ArgumentParser(description="Render pages and label the elements of their interfaces.")
    parser.add_argument("--output", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--count", type=int, default=6000, help="images of all splits: 80%% train, 10%% val, 10%% test")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same dataset")
    parser.add_argument("--processes", type=int, default=2, help="number of browsers")
    options = parser.parse_args(arguments)
    counts = {split: max(1, round(share * options.count)) for split, share in SHARES.items()}
    return run_main(lambda: generate(options.output, counts, options.seed, options.processes))


if __name__ == "__main__":
    sys.exit(main())
