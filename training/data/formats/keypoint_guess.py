"""Recognize keypoints behind boxes in YOLO labels whose description has no `kpt_shape`.

Read as polygons, such lines would give wrong boxes without any error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.data.formats.yolo_lines import BOX_COLUMNS, is_in_box, split_columns, to_numbers


class KeypointGuess:
    """Evidence from the lines of a split that they are boxes, each with the same number of (x, y) keypoints.

    Every point must lie inside the box, or be (0, 0) if it is not labeled. In most lines, width and height, read as the
    second point of a polygon, must be far away from all other points. So they are in 80 % of random poses and more, and
    in 10 % of random triangles and less.
    """

    def __init__(self) -> None:
        self.is_possible = True
        self._columns = 0
        self._lines = 0
        self._outliers = 0

    @property
    def keypoints(self) -> int:
        """Keypoints per object, 0 if the lines are polygons or plain boxes."""
        is_likely = self.is_possible and 2 * self._outliers > self._lines
        return (self._columns - BOX_COLUMNS) // 2 if is_likely else 0

    def add(self, line: str) -> None:
        """Consider one valid line."""
        columns = split_columns(line)
        count = len(columns)
        if not self.is_possible or count <= BOX_COLUMNS:
            return
        _, *numbers = to_numbers(columns)
        self._columns = self._columns or count
        box, points = numbers[:4], [point for point in zip(numbers[4::2], numbers[5::2], strict=True) if any(point)]
        self.is_possible = count == self._columns and all(is_in_box(box, *point) for point in points)
        self._lines += 1
        self._outliers += _is_outlier(box[2:], [(box[0], box[1]), *points])


def _is_outlier(point: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Return whether a point is farther from the bounding box of the others than that box is long."""
    low, high = np.min(others, axis=0), np.max(others, axis=0)
    distance = np.maximum(low - point, np.asarray(point) - high).max()
    return bool(distance > (high - low).max())
