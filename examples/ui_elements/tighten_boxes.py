"""Boxes drawn tight around what is seen, by the pixels of the screenshot.

The DOM tells the box of a slider, not that of its track and thumb, and that of an icon, not of its lines. A side
moves inwards while the line of pixels along it looks like what lies just outside of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Box = tuple[int, int, int, int]
FAINT = 4  # largest difference of a channel within one background: the palest body differs by more
FAINT_INK = 24  # the same around glyphs, whose edges fade
FRAMES = {"text_field", "dropdown"}
MIN_FRAME_SHARE = 0.7  # of its height: a field that is a line beneath is as high as it can be typed into
GROWING = {"slider", "toggle"}  # a thumb may be larger than the control that it belongs to
REACH = 16  # pixels a thumb stands out, at most
NOT_TIGHTENED = {"image", "table"}  # a photo may have the color of the page at its rim


def tight_box(picture: Picture, label: str, box: list[float], text: bool = False) -> Box | None:
    """Return the box (x1, y1, x2, y2) of what is seen in `box` of an RGB picture (H, W, 3), in whole pixels.

    Text keeps the height of its line, whichever letters it is of. None where nothing stands out from what is around.
    """
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = start = (
        max(0, round(box[0])),
        max(0, round(box[1])),
        min(width, round(box[2])),
        min(height, round(box[3])),
    )
    if x2 <= x1 or y2 <= y1:
        return None
    if label in NOT_TIGHTENED:
        return start if np.ptp(picture[y1:y2, x1:x2], axis=(0, 1)).any() else None
    if label in GROWING:
        top, bottom = _grown(picture, start)
        start = (x1, top, x2, bottom)
    tight = _tightened(picture, start, ink=text or label == "icon")
    if tight is None:
        return None
    if text or (label in FRAMES and tight[3] - tight[1] < MIN_FRAME_SHARE * (y2 - y1)):
        return tight[0], y1, tight[2], y2
    return _thickened(tight, width, height) if label == "icon" else tight


def _tightened(picture: Picture, box: Box, ink: bool) -> Box | None:
    """Move all sides inwards; around ink, the line just outside tells the color of the ground."""
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = box
    faint, apart = (FAINT_INK, (1,)) if ink else (FAINT, (1, 3))  # a body may stand on a line of its own color
    y1 += _background(picture[y1:y2, x1:x2], [picture[max(0, y1 - far), x1:x2] for far in apart], faint)
    y2 -= _background(picture[y1:y2, x1:x2][::-1], [picture[min(height, y2 + far) - 1, x1:x2] for far in apart], faint)
    if y2 <= y1:
        return None
    columns = picture.transpose(1, 0, 2)
    x1 += _background(columns[x1:x2, y1:y2], [columns[max(0, x1 - far), y1:y2] for far in apart], faint)
    x2 -= _background(columns[x1:x2, y1:y2][::-1], [columns[min(width, x2 + far) - 1, y1:y2] for far in apart], faint)
    return (x1, y1, x2, y2) if x2 > x1 else None


def _thickened(box: Box, width: int, height: int) -> Box:
    """Make the box of a thin icon, three dots or a line, half as thick as it is long, as far as the picture reaches."""
    x1, y1, x2, y2 = box
    more_x, more_y = max(0, ((y2 - y1) // 2 - (x2 - x1) + 1) // 2), max(0, ((x2 - x1) // 2 - (y2 - y1) + 1) // 2)
    return max(0, x1 - more_x), max(0, y1 - more_y), min(width, x2 + more_x), min(height, y2 + more_y)


def _background(lines: Picture, outside: list[Picture], faint: int) -> int:
    """Count the first lines (N, M, 3) that have nothing but the color of every line (M, 3) outside."""
    colors = [np.median(line, axis=0).astype(np.int16) for line in outside]
    if not len(lines):
        return 0
    unlike = np.any([(np.abs(lines.astype(np.int16) - color) > faint).any(axis=(1, 2)) for color in colors], axis=0)
    return int(unlike.argmax()) if unlike.any() else len(lines)


def _grown(picture: Picture, box: Box) -> tuple[int, int]:
    """Return top and bottom moved outwards as long as there is something on the lines."""
    x1, y1, x2, y2 = box
    above, below = picture[max(0, y1 - REACH) : y1, x1:x2][::-1], picture[y2 : y2 + REACH, x1:x2]
    return y1 - _drawn(above), y2 + _drawn(below)


def _drawn(lines: Picture) -> int:
    """Count the first lines that are not of one color; none where all are, for then it is something else."""
    unlike = (np.abs(lines.astype(np.int16) - np.median(lines, axis=1, keepdims=True)) > FAINT_INK).any(axis=(1, 2))
    return 0 if unlike.all() else int((~unlike).argmax())
