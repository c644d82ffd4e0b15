"""Image files as sources: they are read when their frame is loaded."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import ImageError
from model_zoo.sources.images import Image, image_file


def test_file_is_read_when_it_is_loaded(tmp_path: Path) -> None:
    source = image_file(tmp_path / "a.png")
    [frame] = source
    assert (frame.source, frame.index, frame.time, source.count()) == (str(tmp_path / "a.png"), None, None, 1)
    with pytest.raises(ImageError, match="No such file"):
        frame.load()
    (tmp_path / "a.png").write_bytes(b"image")
    assert frame.load() == b"image"


def test_contents_are_kept_as_long_as_the_frame() -> None:
    """Outputs load a frame again, and a list of addresses must not be in memory as a whole."""
    loaded: list[weakref.ref[object]] = []

    def load() -> np.ndarray:
        pixels = np.zeros((2, 2, 3), np.uint8)
        loaded.append(weakref.ref(pixels))
        return pixels

    source = Image("a", load)
    for frame in source:
        assert frame.load() is frame.load()
    assert len(loaded) == 1
    del frame
    assert loaded[0]() is None
