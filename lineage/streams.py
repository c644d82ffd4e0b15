"""Frames of a video, camera or stream, for a model in this process and for a client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from os import PathLike
from typing import TypeAlias

from lineage.results import ImageResult
from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.frames import Frame, Pixels
from model_zoo.runtime.detect_frames import map_frames
from model_zoo.sources.open import open_source
from model_zoo.tracking import Tracker

StreamSource: TypeAlias = str | PathLike[str] | int


def detect_stream(
    source: StreamSource, detect: Callable[[Pixels], ImageResult], threads: int, *, track: bool
) -> Iterator[ImageResult]:
    """Detect objects in every frame of a video, or in the newest one of a live source, and yield the results.

    Args:
        source: Video file, number or path of a camera, or address of a video or stream.
        detect: Function that returns the result of RGB pixels. Threads call it.
        threads: Number of frames of a video to work on at the same time.
        track: Number the objects.

    Raises:
        LineageError: The source cannot be opened, is no video, or is lost. The tracker is not installed.
    """
    opened = open_source(str(source))
    if not opened.is_video:
        raise LineageError(f"{source}: expected a video, camera or stream; `detect` takes images")

    def work(frame: Frame) -> ImageResult:
        return replace(detect(_pixels(frame)), file=frame.source, frame=frame.index, time=frame.time)

    tracker = Tracker() if track else None
    results = map_frames(work, opened, threads, live=opened.is_live)
    return _numbered(results, tracker) if tracker else results


def _pixels(frame: Frame) -> Pixels:
    try:
        return frame.pixels()
    except ImageError as error:
        raise ImageError(f"{frame.name}: {error}") from None


def _numbered(results: Iterable[ImageResult], tracker: Tracker) -> Iterator[ImageResult]:
    for result in results:
        yield replace(result, detections=tracker.update(result.detections, result.time))
