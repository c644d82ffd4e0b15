"""Chromium, which draws pages and tells what is on them; nothing it opens leaves the machine."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, CDPSession, Error, Page, sync_playwright

from examples.ui_elements.classes import SMALLEST, SMALLEST_SEEN
from examples.ui_elements.tighten_boxes import tight_box
from model_zoo.contract.boxes import pairwise_iou
from model_zoo.contract.errors import LineageError

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-lcd-text",  # colored fringes are one machine's taste
    "--font-render-hinting=none",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--allow-file-access-from-files",  # fonts and modules of pages that are files
    "--host-resolver-rules=MAP * ~NOTFOUND",
]
LONGEST = 1280  # side of a picture; detectors work at 640
TWICE = 0.6  # IoU of two boxes that are one thing
SETTLE = "async (scroll) => { scrollTo(0, scroll); await document.fonts.ready; scrollTo(0, scroll) }"
STILL = (
    "html { scroll-behavior: auto !important } *, *::before, *::after "
    "{ transition: none !important; animation: none !important; caret-color: transparent !important }"
)
TIMEOUT = 600  # milliseconds
HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
INSTALL = f"npm install --prefix {HERE}"
READ_BOXES = (HERE / "boxes.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Screen:
    """A window: size (height, width) in pixels of the page, and how many pixels of the picture one of them takes."""

    height: int
    width: int
    zoom: float = 1.0


@dataclass(frozen=True)
class Shot:
    """A picture (H, W, 3) RGB and what is on it: labels and boxes (N, 4) xyxy in its pixels."""

    picture: NDArray[np.uint8]
    labels: list[str]
    boxes: NDArray[np.float32]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium; raises LineageError where there is none, or where it does not do what it is asked to."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        raise LineageError("expected Chromium; there is none on the path; on Debian and Ubuntu: apt install chromium")
    with sync_playwright() as playwright:
        try:
            with playwright.chromium.launch(executable_path=path, args=FLAGS, env=os.environ | _fonts()) as browser:
                yield browser
        except Error as error:
            raise LineageError(f"expected Chromium to draw a page; it says: {error}") from error


def _fonts() -> dict[str, str]:
    """Choose the fonts of pages that bring none: those of the packages where there are any, else the machine's."""
    if not MODULES.is_dir():
        return {}
    if not (MODULES / "dejavu-fonts-ttf").is_dir():
        raise LineageError(f"expected the packages of {HERE / 'package.json'}; some are missing; run: {INSTALL}")
    return {"FONTCONFIG_FILE": str(HERE / "fonts.conf")}


class Camera:
    """One page of a browser that is used for many screens."""

    def __init__(self, browser: Browser) -> None:
        self._context = browser.new_context()
        self.page: Page = self._context.new_page()
        self._devtools: CDPSession = self._context.new_cdp_session(self.page)

    def frame(self, screen: Screen) -> None:
        """Set the size of the window and its zoom."""
        metrics = {"width": screen.width, "height": screen.height, "deviceScaleFactor": screen.zoom, "mobile": False}
        self._devtools.send("Emulation.setDeviceMetricsOverride", metrics)

    def show(self, text: str, folder: Path, scroll: int = 0) -> None:
        """Open a page that is given as HTML, by way of a file in `folder`, and scroll it."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{os.getpid()}.html"
        path.write_text(text, encoding="utf-8")
        self.page.goto(path.as_uri(), wait_until="load")
        self.page.evaluate(SETTLE, scroll)

    def visit(self, url: str) -> None:
        """Open a page by its address and wait for what its scripts draw; nothing on it moves then."""
        self.page.goto(url, wait_until="load")
        self.page.add_style_tag(content=STILL)
        self.page.wait_for_timeout(TIMEOUT)

    def scroll(self, scroll: int) -> None:
        """Scroll a page that has scripts of its own, and wait for what they do."""
        self.page.evaluate(SETTLE, scroll)
        self.page.wait_for_timeout(TIMEOUT)

    def shoot(self, screen: Screen) -> Shot:
        """Take the picture of the page as it is, and read the boxes from it."""
        found = self.page.evaluate(READ_BOXES)
        taken = self._devtools.send("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True})
        data = np.frombuffer(base64.b64decode(taken["data"]), np.uint8)
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)
        return read_shot(picture, found, screen.zoom)

    def close(self) -> None:
        """Close the page."""
        self._context.close()


def read_shot(picture: NDArray[np.uint8], found: list[dict[str, Any]], zoom: float) -> Shot:
    """Return the shot of a picture (H, W, 3) and boxes in pixels of the page: tight ones, none too small or twice."""
    height, width = picture.shape[:2]
    long, short = SMALLEST * zoom, max(SMALLEST * zoom / 2, SMALLEST_SEEN * max(height, width) / 640)
    labels, boxes = [], np.empty((0, 4), np.float32)
    for thing in found:
        told = [side * zoom for side in thing["box"]]
        box = tight_box(picture, thing["label"], told, bool(thing.get("text")))
        sides = sorted((box[2] - box[0], box[3] - box[1])) if box else [0, 0]
        if box and sides[0] >= short and sides[1] >= long:
            row = np.array([box], np.float32)
            if not len(boxes) or pairwise_iou(row, boxes).max() < TWICE:
                labels.append(_as_seen(thing, told, box))
                boxes = np.concatenate((boxes, row))
    return _shrink(Shot(picture, labels, boxes))


def _shrink(shot: Shot) -> Shot:
    """Make the longer side of a picture no longer than detectors need it."""
    height, width = shot.picture.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    if scale == 1:
        return shot
    size = (round(width * scale), round(height * scale))
    picture = cv2.resize(shot.picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return Shot(picture, shot.labels, shot.boxes * np.float32(scale))


def _as_seen(thing: dict[str, Any], told: list[float], box: tuple[int, int, int, int]) -> str:
    """Return the label of a thing; a button of which nothing but what is in it is seen has no body."""
    bodiless = (box[3] - box[1]) < 0.75 * (told[3] - told[1]) and (box[2] - box[0]) < 0.9 * (told[2] - told[0])
    if thing["label"] in ("button", "dropdown") and bodiless:
        return "link" if thing.get("words") else "icon"
    return str(thing["label"])
