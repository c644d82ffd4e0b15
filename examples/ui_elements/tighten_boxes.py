"""Shrink boxes of the DOM to the visible pixels of the screenshot.

The DOM has the box of a slider, but not of its track and thumb. It has the box of an icon, but not of its strokes. A
side moves inwards while the row of pixels along it has the color just outside the box.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]
MAX_BACKGROUND_DIFFERENCE = 4  # of a channel; the palest body of an element differs by more
MAX_INK_DIFFERENCE = 24  # around glyphs, which have antialiased edges
FRAMES = {"text_field", "dropdown"}
MIN_FRAME_SHARE = 0.7  # of its height; a field with only a line below keeps the height of its input
GROWING = {"slider", "toggle"}  # a thumb may be larger than its control
MAX_GROWTH = 16  # pixels that a thumb may stand out
NOT_TIGHTENED = {"image", "table"}  # an image may have the color of the page along its border


def tight_box(image: Image, label: str, box: list[float], text: bool = False) -> Box | None:
    """Return the box (x1, y1, x2, y2) of the visible pixels in `box` of an RGB image (H, W, 3).

    Text keeps the height of its line, whatever its letters. Returns None if all pixels have the color around the box.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = start = (
        max(0, round(box[0])),
        max(0, round(box[1])),
        min(width, round(box[2])),
        min(height, round(box[3])),
    )
    if x2 <= x1 or y2 <= y1:
        return None
    if label in NOT_TIGHTENED:
        return start if np.ptp(image[y1:y2, x1:x2], axis=(0, 1)).any() else None
    if label in GROWING:
        top, bottom = _grow(image, start)
        start = (x1, top, x2, bottom)
    tight = _tighten(image, start, ink=text or label == "icon")
    if tight is None:
        return None
    if text or (label in FRAMES and tight[3] - tight[1] < MIN_FRAME_SHARE * (y2 - y1)):
        return tight[0], y1, tight[2], y2
    return _thicken(tight, width, height) if label == "icon" else tight


def _tighten(image: Image, box: Box, ink: bool) -> Box | None:
    """Move all sides inwards. Around ink, the row just outside has the background color."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    # A line of the body's color may touch the body, so the color three rows away counts too.
    limit, distances = (MAX_INK_DIFFERENCE, (1,)) if ink else (MAX_BACKGROUND_DIFFERENCE, (1, 3))
    y1 += _background(image[y1:y2, x1:x2], [image[max(0, y1 - d), x1:x2] for d in distances], limit)
    y2 -= _background(image[y1:y2, x1:x2][::-1], [image[min(height, y2 + d) - 1, x1:x2] for d in distances], limit)
    if y2 <= y1:
        return None
    columns = image.transpose(1, 0, 2)
    x1 += _background(columns[x1:x2, y1:y2], [columns[max(0, x1 - d), y1:y2] for d in distances], limit)
    x2 -= _background(columns[x1:x2, y1:y2][::-1], [columns[min(width, x2 + d) - 1, y1:y2] for d in distances], limit)
    return (x1, y1, x2, y2) if x2 > x1 else None


def _thicken(box: Box, width: int, height: int) -> Box:
    """Extend the box of a thin icon, such as three dots, to half its length, within the image."""
    x1, y1, x2, y2 = box
    more_x, more_y = max(0, ((y2 - y1) // 2 - (x2 - x1) + 1) // 2), max(0, ((x2 - x1) // 2 - (y2 - y1) + 1) // 2)
    return max(0, x1 - more_x), max(0, y1 - more_y), min(width, x2 + more_x), min(height, y2 + more_y)


def _background(lines: Image, outside: list[Image], limit: int) -> int:
    """Count the leading rows (N, M, 3) that have only the colors of the rows (M, 3) outside."""
    colors = [np.median(line, axis=0).astype(np.int16) for line in outside]
    if not len(lines):
        return 0
    unlike = np.any([(np.abs(lines.astype(np.int16) - color) > limit).any(axis=(1, 2)) for color in colors], axis=0)
    return int(unlike.argmax()) if unlike.any() else len(lines)


def _grow(image: Image, box: Box) -> tuple[int, int]:
    """Return top and bottom, moved outwards over rows that are not of one color."""
    x1, y1, x2, y2 = box
    above, below = image[max(0, y1 - MAX_GROWTH) : y1, x1:x2][::-1], image[y2 : y2 + MAX_GROWTH, x1:x2]
    return y1 - _count_drawn(above), y2 + _count_drawn(below)


def _count_drawn(lines: Image) -> int:
    """Count the leading rows that are not of one color. Returns 0 if all rows are, as they show another element."""
    unlike = (np.abs(lines.astype(np.int16) - np.median(lines, axis=1, keepdims=True)) > MAX_INK_DIFFERENCE).any(
        axis=(1, 2)
    )
    return 0 if unlike.all() else int((~unlike).argmax())
