"""`lineage detect`: detect objects in images, videos, cameras and streams, as POST /detect does."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import tyro

from lineage.cli.arguments import option
from lineage.cli.main import INTERRUPTED
from lineage.cli.output_options import TABLE, OutputOptions
from lineage.cli.query_options import MODEL_DEFAULTS, QueryOptions
from lineage.cli.tables import plain
from model_zoo.contract.errors import LineageError
from model_zoo.contract.image_size import format_size
from service.inference.bundled import is_bundled, repository_of

if TYPE_CHECKING:
    from model_zoo.contract.package import Package
    from model_zoo.contract.pipeline import Query
    from model_zoo.runtime.detect_frames import FrameResult, Result
    from model_zoo.sources.open import Sources

SOME_FAILED: Final = 1
BUNDLED_HINT: Final = (
    "lineage: the bundled model detects interface elements on screenshots; for other objects, expected --model, "
    "or a model in ./models (`lineage pull`, `lineage import`)"
)


def detect(
    sources: Annotated[tuple[str, ...], tyro.conf.Positional, option("SOURCE [SOURCE ...]")],
    *,
    options: Annotated[QueryOptions, option(name="")] = MODEL_DEFAULTS,
    track: bool = False,
    every: Annotated[int, option("NUMBER")] = 1,
    output: Annotated[OutputOptions, option(name="")] = TABLE,
) -> int:
    """Detect objects in images, videos, cameras and streams.

    Prints a table, with --json the response of POST /detect, or with --format other forms. An image that cannot be
    read is reported, the other ones are processed, and the exit code is 1.

    Of a video, every frame is processed. Of a camera or stream, the newest frame is. Ctrl-C ends both and completes all
    outputs.

    Args:
        sources: Images and videos: files, folders (the files directly in them), quoted patterns such as
            'images/**/*.jpg', and addresses (https://). Cameras (0 or /dev/video0) and streams (rtsp://, http://). A -
            reads an image, or a list of these, from standard input.
        options: The model, and what it reports.
        track: Number the objects of videos, cameras and streams. An object keeps its number from frame to frame.
        every: Of video files, each frame of this distance: 30 is one a second of most videos.
        output: Form and place of the results.
    """
    if not sources:
        raise LineageError("no images; expected files, folders or patterns, as in `lineage detect photo.jpg`")
    from model_zoo.sources.open import open_sources
    from model_zoo.tracking import track_frames

    output.check()
    opened = open_sources(sources, every=every)
    if output.as_json and opened.is_video:
        raise LineageError("--json is one document at the end; for videos, expected --format json-lines")
    if track:
        _check_tracking(opened)
    package, query = options.resolve()
    if not options.model and is_bundled(repository_of(options.repository)):
        print(BUNDLED_HINT, file=sys.stderr)
    with ExitStack() as stack:
        results = _start(stack, package, query, opened, options.exact_decode)
        results = track_frames(results) if track else results
        results = output.write(stack, results, package, opened)
        reported = _report(results, opened, package.card.class_names if output.is_table else None)
        failed = _print_json(package, reported) if output.as_json else _count_errors(reported)
    if opened.stopped.is_set() and not opened.is_live:
        return INTERRUPTED
    return SOME_FAILED if failed else 0


def _check_tracking(sources: Sources) -> None:
    """Check that objects can be tracked, before any work."""
    from model_zoo.tracking import check_installed

    if not sources.is_video:
        raise LineageError("--track numbers the objects of videos, cameras and streams; got images only")
    check_installed()


def _start(stack: ExitStack, package: Package, query: Query, sources: Sources, exact_decode: bool) -> Iterator[Result]:
    """Open the engine and start to detect."""
    from model_zoo.runtime.detect_frames import detect_frames
    from model_zoo.runtime.open import open_engine

    engine = open_engine(package)
    stack.callback(engine.close)
    if sources.is_video:
        stack.enter_context(_stopped_by_signals(sources))
    frames = detect_frames(engine, query, sources, exact=exact_decode, live=sources.is_live)
    return stack.enter_context(closing(frames))  # ends its threads before the engine closes


@contextmanager
def _stopped_by_signals(sources: Sources) -> Iterator[None]:
    """End the sources at Ctrl-C or SIGTERM, so that all outputs are completed. A second signal interrupts."""
    previous: dict[signal.Signals, Any] = {}

    def stop(*_: object) -> None:
        sources.stop()
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _report(results: Iterable[Result], sources: Sources, class_names: Sequence[str] | None) -> Iterator[Result]:
    """Yield the results, and print errors to stderr, and detections too if class names are given, as they arrive."""
    from tqdm import tqdm

    from model_zoo.progress import track
    from model_zoo.runtime.detect_frames import FrameError

    start, done = time.perf_counter(), 0
    unit = "frame" if sources.is_video else "image"
    for result in track(results, "detect", sources.count(), unit):
        yield result
        if isinstance(result, FrameError):
            tqdm.write(plain(f"lineage: {result.frame.name}: {result.reason}"), file=sys.stderr)
            continue
        done += 1
        if result.warning:
            tqdm.write(plain(f"lineage: warning: {result.frame.name}: {result.warning}"), file=sys.stderr)
        if class_names:
            if done == 1:
                tqdm.write(_table_head(class_names))
            tqdm.write("\n".join(_table_lines(result, class_names)))  # above the bar
    if sources.is_video and done:
        seconds = time.perf_counter() - start
        print(f"lineage: {done:,} frames in {seconds:.1f} s, {done / seconds:.1f} frames/s", file=sys.stderr)


def _print_json(package: Package, results: Iterable[Result]) -> int:
    """Print all results as the response of POST /detect. Return the number of errors."""
    from model_zoo.runtime.detect_frames import results_document

    document = results_document(package, results)
    print(json.dumps(document, indent=2))
    return sum("error" in entry for entry in document["results"])


def _count_errors(results: Iterable[Result]) -> int:
    from model_zoo.runtime.detect_frames import FrameError

    return sum(isinstance(result, FrameError) for result in results)


def _table_head(class_names: Sequence[str]) -> str:
    return f"  {'label':<{_label_width(class_names)}}  score     left      top    right   bottom"


def _table_lines(result: FrameResult, class_names: Sequence[str]) -> list[str]:
    """Return a line for the image and one for each detection."""
    count, frame = len(result.detections), result.frame
    objects = "1 object" if count == 1 else f"{count or 'no'} objects"
    when = "" if frame.time is None else f"  {frame.time:.3f} s"
    lines = [plain(f"{frame.name}{when}  {format_size(result.size)}  {objects}")]
    for entry in result.detections.to_dict(class_names):
        corners = "".join(f"{v:9.1f}" for v in entry["box"])
        number = f"  #{entry['track_id']}" if "track_id" in entry else ""
        label = plain(entry["label"])
        lines.append(f"  {label:<{_label_width(class_names)}}  {entry['score']:5.2f}{corners}{number}")
    return lines


def _label_width(class_names: Sequence[str]) -> int:
    return max(len("label"), *map(len, class_names))
