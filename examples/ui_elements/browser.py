"""Render pages in headless Chromium and read their labels. Chromium has no network access."""

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

from examples.ui_elements.classes import MIN_SIDE, MIN_VISIBLE_SIDE
from examples.ui_elements.tighten_boxes import tight_box
from model_zoo.contract.boxes import pairwise_iou
from model_zoo.contract.errors import LineageError

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-lcd-text",  # subpixel colors depend on the machine
    "--font-render-hinting=none",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--allow-file-access-from-files",  # pages on disk load fonts and modules
    "--host-resolver-rules=MAP * ~NOTFOUND",
]
MAX_SIDE = 1280  # of a saved image; detectors use 640
DUPLICATE_IOU = 0.6  # two boxes with at least this IoU are one element
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
    """A browser window."""

    height: int
    """In CSS pixels."""

    width: int
    """In CSS pixels."""

    zoom: float = 1.0
    """Image pixels per CSS pixel."""


@dataclass(frozen=True)
class Screenshot:
    """A screenshot with its labels."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""

    labels: list[str]
    """Class names, one per box."""

    boxes: NDArray[np.float32]
    """(N, 4) xyxy, in pixels of the image."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium.

    Raises:
        LineageError: If Chromium is not installed, or fails to open or render a page.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        raise LineageError("Chromium is not on PATH. On Debian and Ubuntu, run: apt install chromium")
    with sync_playwright() as playwright:
        try:
            with playwright.chromium.launch(
                executable_path=path, args=FLAGS, env={**os.environ, **_fonts()}
            ) as browser:
                yield browser
        except Error as error:
            raise LineageError(f"Chromium could not render a page: {error}") from error


def _fonts() -> dict[str, str]:
    """Return the environment that selects the fonts of the packages. It is empty if they are not installed."""
    if not MODULES.is_dir():
        return {}
    if not (MODULES / "dejavu-fonts-ttf").is_dir():
        raise LineageError(f"Some packages of {HERE / 'package.json'} are not installed. Run: {INSTALL}")
    return {"FONTCONFIG_FILE": str(HERE / "fonts.conf")}


class Camera:
    """A browser tab that renders one page after another."""

    def __init__(self, browser: Browser) -> None:
        self._context = browser.new_context()
        self.page: Page = self._context.new_page()
        self._devtools: CDPSession = self._context.new_cdp_session(self.page)

    def frame(self, screen: Screen) -> None:
        """Set the window size and zoom."""
        metrics = {"width": screen.width, "height": screen.height, "deviceScaleFactor": screen.zoom, "mobile": False}
        self._devtools.send("Emulation.setDeviceMetricsOverride", metrics)

    def show(self, text: str, folder: Path, scroll: int = 0) -> None:
        """Open HTML from a temporary file in `folder`, and scroll it."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{os.getpid()}.html"
        path.write_text(text, encoding="utf-8")
        self.page.goto(path.as_uri(), wait_until="load")
        self.page.evaluate(SETTLE, scroll)

    def visit(self, url: str) -> None:
        """Open a URL, stop animations and wait for its scripts."""
        self.page.goto(url, wait_until="load")
        self.page.add_style_tag(content=STILL)
        self.page.wait_for_timeout(TIMEOUT)

    def scroll(self, scroll: int) -> None:
        """Scroll a page and wait for its scripts."""
        self.page.evaluate(SETTLE, scroll)
        self.page.wait_for_timeout(TIMEOUT)

    def capture(self, screen: Screen) -> Screenshot:
        """Take a screenshot of the page and read its boxes."""
        elements = self.page.evaluate(READ_BOXES)
        png = self._devtools.send("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True})
        data = np.frombuffer(base64.b64decode(png["data"]), np.uint8)
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)
        return read_screenshot(image, elements, screen.zoom)

    def close(self) -> None:
        """Close the page."""
        self._context.close()


def read_screenshot(image: NDArray[np.uint8], elements: list[dict[str, Any]], zoom: float) -> Screenshot:
    """Return an image (H, W, 3) with the tight boxes of its elements, without tiny and duplicate ones.

    Boxes of `elements` are in pixels of the page.
    """
    height, width = image.shape[:2]
    long, short = MIN_SIDE * zoom, max(MIN_SIDE * zoom / 2, MIN_VISIBLE_SIDE * max(height, width) / 640)
    labels, boxes = [], np.empty((0, 4), np.float32)
    for element in elements:
        dom_box = [side * zoom for side in element["box"]]
        box = tight_box(image, element["label"], dom_box, bool(element.get("text")))
        sides = sorted((box[2] - box[0], box[3] - box[1])) if box else [0, 0]
        if box and sides[0] >= short and sides[1] >= long:
            row = np.array([box], np.float32)
            if not len(boxes) or pairwise_iou(row, boxes).max() < DUPLICATE_IOU:
                labels.append(_visible_label(element, dom_box, box))
                boxes = np.concatenate((boxes, row))
    return _shrink(Screenshot(image, labels, boxes))


def _shrink(shot: Screenshot) -> Screenshot:
    """Resize a screenshot whose longer side exceeds `MAX_SIDE`."""
    height, width = shot.image.shape[:2]
    scale = min(1.0, MAX_SIDE / max(height, width))
    if scale == 1:
        return shot
    size = (round(width * scale), round(height * scale))
    image = cv2.resize(shot.image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return Screenshot(image, shot.labels, shot.boxes * np.float32(scale))


def _visible_label(element: dict[str, Any], dom_box: list[float], box: tuple[int, int, int, int]) -> str:
    """Return the label of an element. A button is a link or an icon if only its content is visible."""
    height, width = dom_box[3] - dom_box[1], dom_box[2] - dom_box[0]
    bodiless = (box[3] - box[1]) < 0.75 * height and (box[2] - box[0]) < 0.9 * width
    if element["label"] in ("button", "dropdown") and bodiless:
        return "link" if element.get("words") else "icon"
    return str(element["label"])
