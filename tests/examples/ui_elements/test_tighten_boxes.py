"""Boxes around the visible pixels of an element."""

from __future__ import annotations

import numpy as np
import pytest

from examples.ui_elements.tighten_boxes import tight_box


def test_box_ends_where_the_background_begins() -> None:
    image = np.full((50, 80, 3), 240, np.uint8)
    image[20:30, 15:60] = 30
    assert tight_box(image, "toggle", [5, 10, 70, 45]) == (15, 20, 60, 30)
    assert tight_box(image, "toggle", [5, 32, 70, 45]) is None


def test_text_keeps_its_height_and_shrinks_in_width() -> None:
    image = np.full((50, 80, 3), 240, np.uint8)
    image[20:30, 15:60] = 30
    assert tight_box(image, "link", [5, 16, 70, 34], text=True) == (15, 16, 60, 34)
    assert tight_box(image, "link", [5, 32, 70, 45], text=True) is None


@pytest.mark.parametrize(("top", "thick"), [(20, (17, 24)), (1, (0, 5)), (48, (45, 50))])
def test_thin_icon_is_thickened_within_the_image(top: int, thick: tuple[int, int]) -> None:
    image = np.full((50, 80, 3), 240, np.uint8)
    image[top : top + 1, 30:44] = 20
    assert tight_box(image, "icon", [26, top - 8, 48, top + 8]) == (30, thick[0], 44, thick[1])


def test_body_is_not_tightened_to_its_text() -> None:
    image = np.full((50, 80, 3), 240, np.uint8)
    image[10:40, 10:70] = 120
    image[20:30, 30:50] = 10
    assert tight_box(image, "button", [10, 10, 70, 40]) == (10, 10, 70, 40)


def test_protruding_thumb_belongs_to_the_slider() -> None:
    image = np.full((60, 120, 3), 255, np.uint8)
    image[28:32, 10:110] = 90
    image[20:40, 50:70] = 20
    assert tight_box(image, "slider", [10, 28, 110, 32]) == (10, 20, 110, 40)
