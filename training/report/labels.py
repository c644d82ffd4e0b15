"""Labels of plots that stand beside their points and lines, without covering each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

SIDES: Final = ((1, 0.4), (-1, 0.4), (0, 1), (0, -1), (1, -0.9), (-1, -0.9))  # directions of labels, the best first
DISTANCES: Final = (7, 16, 28)  # points from a label to its point
MARKER: Final = 6  # pixels around a point that its marker covers
STEPS: Final = 12  # of a line that labels avoid
LINE_HEIGHT: Final = 0.065  # of the axes, between labels at the ends of lines

Point = tuple[float, float]
Boxes = NDArray[np.float64]


def label_points(
    figure: Figure,
    axes: Axes,
    points: Sequence[Point],
    names: Sequence[str],
    path: Sequence[Point] = (),
    font: str = "small",
) -> None:
    """Write names beside their points, where they cover the least of the others, of all points and of a path."""
    figure.draw_without_rendering()  # settles where the axes are
    pixels, inside = _pixels(axes, points), np.asarray(axes.bbox.extents)
    taken = np.concatenate([_around(pixels, MARKER), _around(_along(_pixels(axes, path)), 2)])
    places = [(side, distance) for distance in DISTANCES for side in SIDES]
    for point, pixel, name in zip(points, pixels, names, strict=True):
        label = axes.annotate(name, point, (0, 0), textcoords="offset points", fontsize=font, linespacing=1.05)
        size = np.asarray(label.get_window_extent().size)
        boxes = [_box(pixel, size, side, distance * figure.dpi / 72) for side, distance in places]
        best = int(np.argmin([_cost(box, inside, taken) for box in boxes]))
        (x, y), distance = places[best]
        label.set(position=(distance * x, distance * y), ha=("center", "left", "right")[x], va=_vertical(y))
        taken = np.concatenate([taken, [boxes[best]]])


def label_lines(axes: Axes, ends: Iterable[tuple[Point, str, Any]]) -> None:
    """Write names at the right ends of lines in their colors, and move those apart that would cover each other."""
    low, high = axes.get_ylim()
    place: dict[str, Any] = {"xytext": (6, 0), "textcoords": "offset points", "ha": "left", "va": "center"}
    lines = sorted(ends, key=lambda end: -end[0][1])
    heights = spread([y for (_, y), _, _ in lines], LINE_HEIGHT * (high - low), low)
    for ((x, _), name, color), height in zip(lines, heights, strict=True):
        axes.annotate(name, (x, height), color=color, fontsize="small", annotation_clip=False, **place)


def spread(heights: Sequence[float], gap: float, low: float) -> list[float]:
    """Move descending heights apart by at least `gap`: down, and up again from `low`."""
    down, up = list[float](), list[float]()
    for height in heights:
        down.append(min(height, down[-1] - gap) if down else height)
    for height in reversed(down):
        up.append(max(height, up[-1] + gap if up else low))
    return up[::-1]


def _vertical(y: float) -> str:
    return "center" if abs(y) < 0.5 else "bottom" if y > 0 else "top"


def _box(pixel: Boxes, size: Boxes, side: Point, distance: float) -> Boxes:
    """Return the box (4,) in pixels of a label at a side of its point."""
    x, y = pixel + distance * np.asarray(side)
    width, height = size
    left = x - {1: 0, -1: width, 0: width / 2}[int(side[0])]
    bottom = y - {"bottom": 0, "top": height, "center": height / 2}[_vertical(side[1])]
    return np.asarray([left, bottom, left + width, bottom + height])


def _cost(box: Boxes, inside: Boxes, taken: Boxes) -> float:
    """Return the area in square pixels that a label covers, or that is outside of the axes."""
    others = np.concatenate([inside[None], taken])
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    areas = sides.clip(0).prod(axis=1)
    return float(2 * ((box[2:] - box[:2]).prod() - areas[0]) + areas[1:].sum())


def _pixels(axes: Axes, points: Sequence[Point]) -> Boxes:
    return np.asarray(axes.transData.transform(np.asarray(points, dtype=np.float64).reshape(-1, 2)))


def _around(pixels: Boxes, radius: float) -> Boxes:
    return np.concatenate([pixels - radius, pixels + radius], axis=1)


def _along(pixels: Boxes) -> Boxes:
    """Return pixels on the lines between points."""
    parts = np.linspace(0, 1, STEPS)[:, None]
    return np.concatenate([np.empty((0, 2)), *(a + (b - a) * parts for a, b in pairwise(pixels))])
