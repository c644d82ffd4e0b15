"""Single images as sources."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from model_zoo.contract.frames import Frame, Load
from model_zoo.contract.images.files import read_image_file


@dataclass(frozen=True, eq=False)
class Image:
    """One image: a file, or what `load` returns."""

    is_live: ClassVar[bool] = False
    is_video: ClassVar[bool] = False
    name: str
    """The image as the user named it."""
    load: Load
    """Return its contents."""

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(self.name, functools.cache(self.load))  # as long as the frame, which outputs read again

    def count(self) -> int:
        """Return 1."""
        return 1

    def stop(self) -> None:
        """Do nothing: there is one frame."""


def image_file(path: Path) -> Image:
    """Return the source of an image file. It is read when its frame is loaded."""
    return Image(str(path), lambda: read_image_file(path))
