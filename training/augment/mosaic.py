"""Mosaics of four and of nine images.

Images keep their size and touch one another; the canvas cuts off what reaches beyond it. Sources: YOLOv4, 2004.10934,
section 3.3; nine images: the YOLOv5 lineage.
"""

from __future__ import annotations

from collections.abc import Sequence

from numpy.random import Generator

from model_zoo.contract.letterbox import Size
from training.augment.canvas import Corner


def draw_center(canvas: Size, rng: Generator) -> Corner:
    """Draw where four images meet: in the middle half of the canvas, both ways."""
    y, x = rng.random(2)
    return int(canvas[0] * (0.25 + 0.5 * y)), int(canvas[1] * (0.25 + 0.5 * x))


def draw_start(canvas: Size, rng: Generator) -> Corner:
    """Draw the corner of the first of nine images: in the top-left quarter of the canvas."""
    y, x = rng.random(2)
    return canvas[0] // 2 - int(canvas[0] / 2 * y), canvas[1] // 2 - int(canvas[1] / 2 * x)


def place_four(center: Corner, sizes: Sequence[Size]) -> list[Corner]:
    """Place four images around a point: above left of it, above right, below left, below right."""
    y, x = center
    above_left, above_right, below_left, _ = sizes
    return [(y - above_left[0], x - above_left[1]), (y - above_right[0], x), (y, x - below_left[1]), (y, x)]


def place_nine(start: Corner, sizes: Sequence[Size]) -> list[Corner]:
    """Place the first image, and eight around it: clockwise from above it, each beside the one before."""
    top, left = start
    bottom, right = top + sizes[0][0], left + sizes[0][1]
    _, above, above_right, at_right, _, below, below_left, at_left, above_left = sizes
    return [
        start,
        (top - above[0], left),
        (top - above_right[0], left + above[1]),
        (top, right),
        (top + at_right[0], right),
        (bottom, right - below[1]),
        (bottom, right - below[1] - below_left[1]),
        (bottom - at_left[0], left - at_left[1]),
        (bottom - at_left[0] - above_left[0], left - above_left[1]),
    ]
