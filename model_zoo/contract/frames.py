"""Frames, and the protocol of everything that yields them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.errors import ImageError
from model_zoo.contract.images import decode_image

Pixels: TypeAlias = NDArray[np.uint8]
Content: TypeAlias = bytes | Pixels
Load: TypeAlias = Callable[[], Content]
MAX_PENDING: Final = 2**27  # pixels of frames in memory: about 1 GB in the decoder's form and in RGB


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a source. It is read when `load` is called, which any thread may do."""

    source: str
    """The source as the user named it, without a password."""
    load: Load
    """Return the contents of an image file, or upright RGB pixels (H, W, 3). Raises ImageError."""
    index: int | None = None
    """Number of the frame in a video or stream, from 0. None for an image."""
    time: float | None = None
    """Seconds since the first frame. None for an image."""
    area: int = 0
    """Pixels of a decoded frame. 0 if nothing is in memory before `load`."""

    @property
    def name(self) -> str:
        """The name for messages and tables."""
        return self.source if self.index is None else f"{self.source}#{self.index}"

    def pixels(self) -> Pixels:
        """Return the upright RGB pixels (H, W, 3).

        Raises:
            ImageError: The image cannot be used.
        """
        content = self.load()
        return decode_image(content) if isinstance(content, bytes) else content


def bounded(limit: int) -> Callable[[Frame], int]:
    """Return the limit of `ordered_map` for frames: `limit`, and fewer of large frames."""
    return lambda frame: max(1, min(limit, MAX_PENDING // frame.area)) if frame.area else limit


def failed_frame(source: str, error: ImageError) -> Frame:
    """Return a frame whose `load` raises the error: what comes after it, and outputs of what came before, are kept."""

    def fail() -> Content:
        raise error

    return Frame(source, fail)


class Source(Protocol):
    """Yields frames in order. A source that cannot be opened, or is lost, yields a `failed_frame` last."""

    @property
    def name(self) -> str:
        """The source as the user named it, without a password."""

    @property
    def is_live(self) -> bool:
        """True if frames that nobody waits for are dropped."""

    @property
    def is_video(self) -> bool:
        """True if frames have numbers and times."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""

    def count(self) -> int | None:
        """Return the number of frames, None if it is unknown."""

    def stop(self) -> None:
        """End the iteration after the frame at hand. Other threads and signal handlers may call it."""
