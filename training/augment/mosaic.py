"""Mosaics of four and of nine images.

Images keep their size and are placed edge to edge; the canvas clips them. Sources: YOLOv4, 2004.10934, section 3.3; for
nine images, the YOLOv5 lineage.
"""

from __future__ import annotations

from collections.abc import Sequence

from numpy.random import Generator

from model_zoo.contract.letterbox import Size
from training.augment.canvas import Corner


def draw_center(canvas: Size, rng: Generator) -> Corner:
    """Draw the point where four images meet, in the middle half of both canvas sides."""
    y, x = rng.random(2)
    return int(canvas[0] * (0.25 + 0.5 * y)), int(canvas[1] * (0.25 + 0.5 * x))


def draw_start(canvas: Size, rng: Generator) -> Corner:
    """Draw the corner of the first of nine images, in the top-left quarter of the canvas."""
    y, x = rng.random(2)
    return canvas[0] // 2 - int(canvas[0] / 2 * y), canvas[1] // 2 - int(canvas[1] / 2 * x)


def place_four(center: Corner, sizes: Sequence[Size]) -> list[Corner]:
    """Return the corners of four images around a point: top left, top right, bottom left, bottom right."""
    y, x = center
    top_left, top_right, bottom_left, _ = sizes
    return [(y - top_left[0], x - top_left[1]), (y - top_right[0], x), (y, x - bottom_left[1]), (y, x)]


def place_nine(start: Corner, sizes: Sequence[Size]) -> list[Corner]:
    """Return the corners of one image and eight around it, clockwise from the top, each next to the previous one."""
    top, left = start
    bottom, right = top + sizes[0][0], left + sizes[0][1]
    _, top_size, top_right, right_size, _, bottom_size, bottom_left, left_size, top_left = sizes
    return [
        start,
        (top - top_size[0], left),
        (top - top_right[0], left + top_size[1]),
        (top, right),
        (top + right_size[0], right),
        (bottom, right - bottom_size[1]),
        (bottom, right - bottom_size[1] - bottom_left[1]),
        (bottom - left_size[0], left - left_size[1]),
        (bottom - left_size[0] - top_left[0], left - top_left[1]),
    ]
