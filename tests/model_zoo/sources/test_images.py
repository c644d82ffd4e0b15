"""Image files as sources: they are read when their frame is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.contract.errors import ImageError
from model_zoo.sources.images import image_file


def test_file_is_read_when_it_is_loaded(tmp_path: Path) -> None:
    source = image_file(tmp_path / "a.png")
    [frame] = source
    assert (frame.source, frame.index, frame.time, source.count()) == (str(tmp_path / "a.png"), None, None, 1)
    with pytest.raises(ImageError, match="No such file"):
        frame.load()
    (tmp_path / "a.png").write_bytes(b"image")
    assert frame.load() == b"image"
