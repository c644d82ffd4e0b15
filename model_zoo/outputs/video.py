"""Write videos: H.264 in MP4, which browsers and players support."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.errors import LineageError
from model_zoo.sources.video import pyav, reason

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

TICKS: Final = 90_000  # a second: the unit of times in the file
BT_601, LIMITED_RANGE = 6, 1  # numbers of H.264: players would take BT.709 for large images
MAX_SIDE: Final = 4096  # pixels: players support no larger ones, and encoding them takes gigabytes
RATE: Final = 30  # nominal: each frame has its own time
OPTIONS: Final = {"preset": "veryfast", "crf": "23"}


class VideoWriter:
    """A video that is written frame by frame. Use it in a `with` block: the file appears at its end.

    After an error, the file has the frames before it.

    Args:
        path: File to write. Its folder is created.

    Raises:
        LineageError: PyAV is not installed, or the path is a folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise LineageError(f"{path}: expected the file name of a video; it is a folder")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._part = self.path.with_name(f".{uuid4().hex}.mp4")
        self._container: OutputContainer = pyav().open(
            str(self._part), "w", format="mp4", options={"movflags": "+faststart"}
        )
        self._stream: VideoStream | None = None
        self._last = -1

    def write(self, pixels: NDArray[np.uint8], time: float) -> None:
        """Add a frame.

        Args:
            pixels: RGB image (H, W, 3). Frames of another size than the first are resized to it, and large ones to
                MAX_SIDE.
            time: Seconds from the start.

        Raises:
            LineageError: The frame cannot be written.
        """
        with self._explained():
            stream = self._stream = self._stream or self._add_stream(pixels)
            planes = cv2.cvtColor(_fit(pixels, (stream.height, stream.width)), cv2.COLOR_RGB2YUV_I420)  # BT.601
            frame = pyav().VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = self._last = max(round(time * TICKS), self._last + 1)
            frame.time_base = Fraction(1, TICKS)
            self._container.mux(stream.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            with self._explained():
                if self._stream:
                    self._container.mux(self._stream.encode())
                self._container.close()
            if self._stream:
                self._part.replace(self.path)
        finally:
            self._part.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise errors of FFmpeg with the name of the file."""
        try:
            yield
        except pyav().FFmpegError as error:
            raise LineageError(f"{self.path}: the video cannot be written; {reason(error)}") from None

    def _add_stream(self, pixels: NDArray[np.uint8]) -> VideoStream:
        scale = min(1, MAX_SIDE / max(pixels.shape))
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        stream: VideoStream = self._container.add_stream("libx264", rate=RATE, options=dict(OPTIONS))
        stream.height, stream.width = height + height % 2, width + width % 2  # chroma has half the size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.colorspace, stream.codec_context.color_range = BT_601, LIMITED_RANGE
        return stream


def _fit(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return pixels of this size: with the last row and column repeated, or resized."""
    height, width = size
    missing = height - pixels.shape[0], width - pixels.shape[1]
    if missing == (0, 0):
        return pixels
    if set(missing) <= {0, 1}:
        return np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    return np.asarray(cv2.resize(pixels, (width, height)), np.uint8)
