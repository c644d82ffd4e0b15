"""Drawn images: legible labels inside the image, stable colors, unchanged input."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from model_zoo.contract.detections import Detections
from model_zoo.contract.drawing import Color, class_color, draw, draw_boxes, text_color

NAMES = ("person", "a very long class name indeed", "naïve 人 кот", "")


def detections_of(*rows: Sequence[float]) -> Detections:
    table = np.asarray(rows, dtype=np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, dtype=np.uint8)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=-1)


def contrast(a: Color, b: Color) -> float:
    def luminance(color: Color) -> float:
        part = [v / 255 / 12.92 if v / 255 <= 0.04045 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in color]
        return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2]

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_box_is_outlined_in_the_class_color() -> None:
    image = gray(480, 640)
    drawn = draw(image, detections_of([100, 200, 300, 400, 0.9, 0]), NAMES)
    for y, x in ((300, 100), (300, 300), (400, 200)):
        assert tuple(drawn[y, x]) == class_color(0)
    assert tuple(drawn[300, 200]) == (128, 128, 128), "the inside of a box stays visible"
    assert (image == 128).all(), "draw works on a copy"


def test_no_detections_leave_the_image_unchanged() -> None:
    image = gray(50, 60)
    drawn = draw(image, detections_of(), NAMES)
    assert (drawn == image).all()
    assert drawn is not image


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (20, 20), (120, 160), (480, 640), (3000, 2000)])
@pytest.mark.parametrize("class_id", range(len(NAMES)))
def test_any_size_and_label_can_be_drawn(size: tuple[int, int], class_id: int) -> None:
    height, width = size
    drawn = draw(gray(*size), detections_of([0, 0, width, height, 0.5, class_id]), NAMES)
    assert drawn.shape == (height, width, 3)
    assert changed(gray(*size), drawn).any()


@pytest.mark.parametrize("box", [(600, 0, 640, 30), (0, 0, 20, 20), (620, 460, 640, 480), (-50, -50, 5, 5)])
def test_label_at_the_border_moves_into_the_image(box: tuple[float, ...]) -> None:
    left, top, right, bottom = box
    middle, image = (300, 200, 300 + right - left, 200 + bottom - top), gray(480, 640)
    centered, at_border = (changed(image, draw(image, detections_of([*b, 0.5, 0]), NAMES)) for b in (middle, box))
    columns = [int(area.any(axis=0).sum()) for area in (centered, at_border)]
    assert columns[1] >= columns[0] - 5, "the label keeps its width"


def test_small_objects_get_thinner_lines_and_smaller_letters() -> None:
    image, rows = gray(1000, 1000), [[x, 500, x + 20, 520, 0.5, 0] for x in range(0, 1000, 200)]
    small = changed(image, draw(image, detections_of(*rows), NAMES))
    large = changed(image, draw(image, detections_of(*[[x, 500, x + 150, 650, 0.5, 0] for x, *_ in rows]), NAMES))
    assert small[:500].sum() < large[:500].sum() / 2, "the labels are smaller"


def test_best_detection_is_drawn_on_top() -> None:
    drawn = draw(gray(480, 640), detections_of([50, 50, 200, 200, 0.9, 0], [50, 50, 200, 200, 0.3, 1]), NAMES)
    assert tuple(drawn[125, 50]) == class_color(0)


def test_draw_boxes_draws_any_text() -> None:
    detections = detections_of([50, 50, 200, 200, 0.9, 0], [60, 250, 300, 300, 0.25, 3])
    texts = ["person 0.90", " 0.25"]
    drawn = draw_boxes(gray(480, 640), detections.boxes, detections.class_ids, texts)
    assert (drawn == draw(gray(480, 640), detections, NAMES)).all()


def test_lines_and_letters_scale_with_the_image() -> None:
    small, large = gray(240, 320), gray(2400, 3200)
    areas = [
        changed(im, draw(im, detections_of([40 * k, 60 * k, 200 * k, 200 * k, 0.9, 0]), NAMES)).mean()
        for im, k in ((small, 1), (large, 10))
    ]
    assert areas[1] > areas[0] / 4, "with constant sizes in pixels the area would shrink to a hundredth"


def test_labels_have_enough_contrast_on_all_class_colors() -> None:
    assert min(contrast(class_color(i), text_color(class_color(i))) for i in range(1000)) >= 4.5


def test_colors_are_stable_and_distinct() -> None:
    assert [class_color(i) for i in range(3)] == [(242, 36, 36), (102, 147, 255), (112, 178, 18)]
    pairs = itertools.combinations(range(12), 2)
    assert min(np.abs(np.subtract(class_color(a), class_color(b))).max() for a, b in pairs) >= 50
    assert len({class_color(i) for i in range(365)}) == 365
