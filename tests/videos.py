"""Small videos, made by PyAV."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def frame_of(index: int, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """Return an image whose mean green grows with the index: the toy model's boxes and scores follow it."""
    return np.full((*size, 3), (200, 10 * index, 20), np.uint8)


def write_video(
    path: Path, frames: Iterable[np.ndarray], *, rate: int = 10, codec: str = "libx264", rotation: int = 0
) -> Path:
    av = pytest.importorskip("av", reason="videos need the extra `video`")
    images = list(frames)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def read_video(path: Path) -> list[np.ndarray]:
    av = pytest.importorskip("av", reason="videos need the extra `video`")
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
