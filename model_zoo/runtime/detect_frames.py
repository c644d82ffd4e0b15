"""Detect objects in the frames of sources: image files, videos, cameras and streams.

engine = open_engine(package)
for result in detect_frames(engine, make_query(package.card), open_sources(["images", "clip.mp4"])):
    ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from model_zoo.contract import pipeline
from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import ImageError
from model_zoo.contract.frames import Content, Frame, bounded
from model_zoo.contract.images import Warn
from model_zoo.contract.letterbox import Size
from model_zoo.contract.ordered_map import ordered_map
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import ModelInput, Query
from model_zoo.runtime.base import Engine

R = TypeVar("R")
AHEAD: Final = 2  # frames that wait for each worker: decoding a video goes on while all are busy


@dataclass(frozen=True, eq=False)
class FrameResult:
    """Detections of one frame."""

    frame: Frame
    """Frame of the source."""
    size: Size
    """Height and width of the image in pixels."""
    detections: Detections
    """Detections in pixels of the image."""
    decode_seconds: float
    """Time to read the image and to decode it onto a canvas."""
    infer_seconds: float
    """Time from the canvas to detections."""
    warning: str = ""
    """Description of damage that the decoder skips, empty if there is none."""


@dataclass(frozen=True, eq=False)
class FrameError:
    """A frame that cannot be used."""

    frame: Frame
    """Frame of the source."""
    reason: str
    """Message of the error."""


Result = FrameResult | FrameError


def detect_frames(
    engine: Engine, query: Query, frames: Iterable[Frame], *, exact: bool = False, live: bool = False
) -> Generator[Result]:
    """Yield the result of every frame, in order. As many frames run in parallel as the engine has workers.

    Args:
        engine: Engine of the model.
        query: Thresholds, classes and limits.
        frames: Frames of sources.
        exact: Decode large JPEGs at full size, as in `read_input`.
        live: Take a frame when the result of the previous one was yielded, so that none waits.
    """

    def run(frame: Frame) -> Result:
        try:
            return _detect_frame(engine, query, frame, exact)
        except ImageError as error:
            return FrameError(frame, str(error))

    return map_frames(run, frames, engine.workers, live=live)


def map_frames(work: Callable[[Frame], R], frames: Iterable[Frame], threads: int, *, live: bool) -> Generator[R]:
    """Yield the result of `work` on every frame, in order. A live source has one at a time, so that none waits."""
    return ordered_map(work, frames, 1 if live else threads, bounded(1 if live else threads * (1 + AHEAD)))


def place(
    card: ModelCard, content: Content, sizes: Sequence[Size], *, exact: bool = False, warn: Warn | None = None
) -> ModelInput:
    """Return the contents of an image file, or pixels, on the canvas of `sizes` that they need.

    Raises:
        ImageError: The image cannot be used.
    """
    if isinstance(content, bytes):
        return pipeline.read_input(card, content, sizes, exact=exact, warn=warn)
    height, width = content.shape[:2]
    return pipeline.preprocess(card, content, pipeline.choose_canvas(card, (height, width), sizes))


def results_document(package: Package, results: Iterable[Result]) -> dict[str, Any]:
    """Return results as the JSON document of POST /detect. Its times are the slowest image's, and the total."""
    start, decode, infer = time.perf_counter(), 0.0, 0.0
    entries: list[dict[str, Any]] = []
    for result in results:
        if isinstance(result, FrameResult):
            decode, infer = max(decode, result.decode_seconds), max(infer, result.infer_seconds)
        entries.append({"file": result.frame.source} | result_entry(result, package.card.class_names))
    seconds = {"decode": decode, "queue": 0.0, "infer": infer, "total": time.perf_counter() - start}
    return {
        "model": {"name": package.name, "version": package.version},
        "results": entries,
        "timing_ms": {stage: round(1000 * value, 3) for stage, value in seconds.items()},
    }


def result_entry(result: Result, names: Sequence[str]) -> dict[str, Any]:
    """Return a result as in POST /detect, without its name."""
    if isinstance(result, FrameError):
        return {"error": {"detail": result.reason}}
    height, width = result.size
    return {"image": {"width": width, "height": height}, "detections": result.detections.to_dict(names)}


def _detect_frame(engine: Engine, query: Query, frame: Frame, exact: bool) -> FrameResult:
    warnings: list[str] = []
    start = time.perf_counter()
    item = place(engine.card, frame.load(), engine.canvases, exact=exact, warn=warnings.append)
    decoded = time.perf_counter()
    [detections] = pipeline.detect_inputs(engine.run, [item], query)
    done = time.perf_counter()
    return FrameResult(frame, item.geometry.image, detections, decoded - start, done - decoded, "".join(warnings))
