"""Copies of images and videos with boxes drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract import drawing
from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.frames import Source, bounded
from model_zoo.contract.images.files import WRITTEN_SUFFIXES, write_image
from model_zoo.contract.ordered_map import ordered_map
from model_zoo.outputs.video import VideoWriter
from model_zoo.runtime.detect_frames import FrameError, FrameResult, Result
from model_zoo.sources.urls import is_url


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A result, and the drawn frame of a video."""

    result: Result
    """The result, or an error if the image cannot be written."""
    pixels: NDArray[np.uint8] | None = None
    """RGB image (H, W, 3). None for an image, which is written already."""


def plan_copies(sources: Iterable[Source], folder: str | Path) -> dict[str, Path]:
    """Assign every source a file in `folder`: its own name, with -2, -3 ... added to duplicates.

    Raises:
        LineageError: A copy would have the name of a folder, or overwrite a source, directly or through a link.
    """
    sources, folder = list(sources), Path(folder)
    originals = {_file_id(Path(source.name)) for source in sources if Path(source.name).exists()}
    copies: dict[str, Path] = {}
    used: set[str] = set()
    for source in sources:
        copies[source.name] = copy = folder / _unused_name(source, used)
        if copy.is_dir():
            raise LineageError(f"--save {folder}: expected no folder with the name of a copy; got {copy}")
        if copy.exists() and _file_id(copy) in originals:
            raise LineageError(f"--save {folder}: {copy} is one of the inputs; choose another folder")
    return copies


def save_drawn(
    results: Iterable[Result], copies: Mapping[str, Path], class_names: Sequence[str], threads: int
) -> Iterator[Result]:
    """Yield the results while copies with boxes are written. An image that cannot be written becomes an error.

    Args:
        results: Results of `detect_frames`.
        copies: File of each source, from `plan_copies`.
        class_names: Class names.
        threads: Number of frames to draw at the same time.
    """

    def draw(result: Result) -> _Drawn:
        try:
            return _draw(result, copies, class_names)
        except ImageError as error:
            return _Drawn(FrameError(result.frame, str(error)))

    writer: VideoWriter | None = None
    with ExitStack() as stack:
        for drawn in ordered_map(draw, results, threads, lambda result: bounded(threads)(result.frame)):
            if drawn.pixels is not None:
                path = copies[drawn.result.frame.source]
                if writer is None or writer.path != path:
                    stack.close()  # the previous video is complete
                    writer = stack.enter_context(VideoWriter(path))
                writer.write(drawn.pixels, drawn.result.frame.time or 0.0)
            yield drawn.result


def _draw(result: Result, copies: Mapping[str, Path], class_names: Sequence[str]) -> _Drawn:
    if not isinstance(result, FrameResult):
        return _Drawn(result)
    pixels = drawing.draw(result.frame.pixels(), result.detections, class_names)
    if result.frame.index is not None:
        return _Drawn(result, pixels)
    write_image(copies[result.frame.source], pixels)
    return _Drawn(result)


def _unused_name(source: Source, used: set[str]) -> str:
    """Return a name with a writable suffix, unique even on file systems that ignore case."""
    path = _file_name(source.name)
    if source.is_video:
        suffix = ".mp4"
    else:
        suffix = path.suffix if path.suffix.lower() in WRITTEN_SUFFIXES else f"{path.suffix}.jpg"
    name, number = path.stem + suffix, 2
    while name.casefold() in used:
        name, number = f"{path.stem}-{number}{suffix}", number + 1
    used.add(name.casefold())
    return name


def _file_name(name: str) -> Path:
    """Return a file name for a source: the last part of a path or address, or the host."""
    if name == "-":
        return Path("stdin")
    if not is_url(name):
        return Path(f"camera-{name}" if name.isdecimal() else Path(name).name)
    parts = urlsplit(name)
    return Path(Path(parts.path).name or f"{parts.hostname}.stream")


def _file_id(path: Path) -> tuple[int, int]:
    """Return what identifies a file regardless of its name: links to it have the same."""
    status = path.stat()
    return status.st_dev, status.st_ino
