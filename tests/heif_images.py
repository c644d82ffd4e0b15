"""HEIF images, encoded by pillow-heif, and changes to their boxes."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_zoo.contract.letterbox import Size

pillow_heif = pytest.importorskip("pillow_heif", reason="HEIF images need the extra `heif`")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def encode_heif(*images: NDArray[Any], quality: int = 95, **options: Any) -> bytes:
    """A file of images: gray, RGB or RGBA, with 8 bits, or 10 if they are uint16. The first is the primary one."""
    file, buffer = pillow_heif.HeifFile(), io.BytesIO()
    for image in images:
        mode = MODES[1 if image.ndim == 2 else image.shape[2]] + (";16" if image.dtype == np.uint16 else "")
        file.add_frombytes(mode, image.shape[1::-1], image.tobytes())
    file.save(buffer, quality=quality, **{"chroma": 444, "enc_params": {"preset": "ultrafast"}, **options})
    return buffer.getvalue()


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """Replace bytes that must be there, by as many."""
    assert old in data
    assert len(old) == len(new)
    return data.replace(old, new)


def resized(data: bytes, old: Size, new: Size) -> bytes:
    """Change a size (height, width) that the boxes declare, not the coded one."""
    return replaced(data, _size_box(old), _size_box(new))


def _size_box(size: Size) -> bytes:
    return struct.pack(">4s4xII", b"ispe", size[1], size[0])
