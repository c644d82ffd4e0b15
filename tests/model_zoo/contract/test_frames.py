"""Frames: names, and pixels of files and arrays."""

from __future__ import annotations

import numpy as np

from model_zoo.contract.frames import Frame
from model_zoo.contract.images.files import encode_image

PIXELS = np.full((4, 6, 3), (1, 2, 3), np.uint8)


def test_frame_of_a_video_has_its_number_in_its_name() -> None:
    assert Frame("clip.mp4", lambda: PIXELS, 0, 0.0).name == "clip.mp4#0"
    assert Frame("a.png", lambda: PIXELS).name == "a.png"


def test_pixels_are_those_of_a_file_or_an_array() -> None:
    assert Frame("clip.mp4", lambda: PIXELS).pixels() is PIXELS
    assert (Frame("a.png", lambda: encode_image(PIXELS, ".png")).pixels() == PIXELS).all()
