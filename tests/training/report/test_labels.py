"""Labels beside points and lines do not cover each other."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from training.report.labels import label_lines, label_points, spread


def make_axes() -> Axes:
    axes = Figure(figsize=(6, 4), layout="constrained").subplots()
    axes.set(xlim=(0, 10), ylim=(0, 10))
    return axes


def extents(axes: Axes) -> list[Bbox]:
    axes.figure.draw_without_rendering()
    return [text.get_window_extent() for text in axes.texts]


@pytest.mark.parametrize(
    "points", [[(5, 5)] * 4, [(0, 0), (10, 0), (0, 10), (10, 10)], [(5, 5), (5.4, 5.1), (4.8, 5.2)]]
)
def test_labels_of_points_are_apart_and_inside(points: list[tuple[float, float]]) -> None:
    axes = make_axes()
    label_points(axes.figure, axes, points, [f"model {i}\n2020" for i in range(len(points))])
    boxes = extents(axes)
    assert len(boxes) == len(points)
    for box in boxes:
        inside = Bbox.intersection(box, axes.bbox)
        assert inside is not None
        np.testing.assert_allclose(inside.size, box.size, atol=2)
    for one, other in combinations(boxes, 2):
        shared = Bbox.intersection(one, other)
        assert shared is None or min(shared.size) < 2


def test_labels_avoid_the_path() -> None:
    axes = make_axes()
    label_points(axes.figure, axes, [(2, 5), (8, 5)], ["a" * 8, "b" * 8], path=[(2, 5), (8, 5)])
    y = axes.transData.transform((0, 5))[1]
    for box in extents(axes):
        assert not (
            box.y0 < y < box.y1 and axes.transData.transform((2.5, 0))[0] < box.x1 < axes.transData.transform((8, 0))[0]
        )


def test_no_points_have_no_labels() -> None:
    axes = make_axes()
    label_points(axes.figure, axes, [], [])
    assert not axes.texts


def test_labels_of_lines_have_their_colors_and_are_apart() -> None:
    axes = make_axes()
    label_lines(axes, [((10, 5.0), "a", "red"), ((10, 5.1), "b", "blue"), ((9, 9.0), "c", "green")])
    assert [(text.get_text(), text.get_color()) for text in axes.texts] == [("c", "green"), ("b", "blue"), ("a", "red")]
    boxes = extents(axes)
    assert all(one.y0 >= other.y1 - 2 for one, other in pairwise(boxes))


def test_heights_move_apart_but_not_below_the_lowest() -> None:
    assert spread([], 1, 0) == []
    assert spread([9, 5, 5], 1, 0) == [9, 5, 4]
    assert spread([0.5, 0.5, 0.1], 1, 0) == [2, 1, 0]
