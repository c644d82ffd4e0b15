"""Frames: names, and pixels of files and arrays."""

from __future__ import annotations

import numpy as np
import pytest

from model_zoo.contract.frames import Frame, bounded
from model_zoo.contract.images.files import encode_image

PIXELS = np.full((4, 6, 3), (1, 2, 3), np.uint8)


def test_frame_of_a_video_has_its_number_in_its_name() -> None:
    assert Frame("clip.mp4", lambda: PIXELS, 0, 0.0).name == "clip.mp4#0"
    assert Frame("a.png", lambda: PIXELS).name == "a.png"


def test_pixels_are_those_of_a_file_or_an_array() -> None:
    assert Frame("clip.mp4", lambda: PIXELS).pixels() is PIXELS
    assert (Frame("a.png", lambda: encode_image(PIXELS, ".png")).pixels() == PIXELS).all()


@pytest.mark.parametrize(
    ("area", "limit"), [(0, 48), (1280 * 720, 48), (3840 * 2160, 16), (8192 * 8192, 2), (2**30, 1)]
)
def test_fewer_large_frames_are_in_memory(area: int, limit: int) -> None:
    assert bounded(48)(Frame("clip.mp4", lambda: PIXELS, 0, 0.0, area)) == limit
