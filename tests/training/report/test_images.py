"""Image sheets."""

from __future__ import annotations

import numpy as np

from training.report.images import make_sheet


def test_sheet_arranges_images_of_any_shape() -> None:
    tall, wide = np.zeros((90, 30, 3), np.uint8), np.full((30, 90, 3), 200, np.uint8)
    sheet = make_sheet([tall, wide, wide], columns=2)
    assert sheet.shape[1] >= 2 * 480
    assert (sheet[0, 0] == 0).all()
    assert (sheet[5, 480 + 10] == 200).all()
