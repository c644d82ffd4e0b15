"""`lineage detect`: detect objects in images, videos, cameras and streams, as POST /detect does."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TextIO, get_args

import tyro
from loky import cpu_count

from lineage.cli.arguments import option
from lineage.cli.main import INTERRUPTED
from lineage.cli.tables import plain
from lineage.find import find_model
from model_zoo.contract.errors import LineageError
from model_zoo.contract.image_size import format_size
from service.inference.bundled import REPOSITORY_HELP

if TYPE_CHECKING:
    from model_zoo.contract.package import Package
    from model_zoo.contract.pipeline import Query
    from model_zoo.runtime.detect_frames import FrameResult, Result
    from model_zoo.sources.open import Sources

SOME_FAILED: Final = 1
CARD_DEFAULT: Final = "(default: the model's own)"
RECORDS: Final = ("json-lines", "csv")
OutputFormat = Literal["json-lines", "csv", "coco", "yolo", "label-studio", "crops"]


def detect(
    sources: Annotated[tuple[str, ...], tyro.conf.Positional, option("SOURCE [SOURCE ...]")],
    *,
    model: Annotated[str | None, option("MODEL", hint="(default: the repository's only model)")] = None,
    repository: Annotated[Path | None, option("FOLDER", hint=REPOSITORY_HELP)] = None,
    score: Annotated[float | None, option("NUMBER", hint=CARD_DEFAULT)] = None,
    iou: Annotated[float | None, option("NUMBER", hint=CARD_DEFAULT)] = None,
    nms: Annotated[Literal["diou", "iou"] | None, option(hint=CARD_DEFAULT)] = None,
    classes: Annotated[str | None, option("NAMES", hint="(default: all)")] = None,
    max_detections: Annotated[int | None, option("NUMBER", hint=CARD_DEFAULT)] = None,
    exact_decode: bool = False,
    track: bool = False,
    save: Annotated[Path | None, option("FOLDER")] = None,
    as_json: Annotated[bool, option(name="json")] = False,
    output_format: Annotated[OutputFormat | None, option(name="format")] = None,
    output: Annotated[Path | None, option("PATH")] = None,
    image_url: Annotated[str, option("URL")] = "/data/local-files/?d=",
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
        model: NAME, NAME@VERSION or NAME@ALIAS in the repository, or an .onnx file that `lineage export` wrote.
        repository: Folder of the repository.
        score: Min score of a detection, from 0 to 1.
        iou: NMS threshold, from 0 to 1. Higher values allow more overlap between boxes.
        nms: Overlap measure of NMS: IoU, or DIoU, which also considers the distance between centers.
        classes: Only these classes, by name or index, separated by commas, such as person,car. A name with a comma is
            quoted: '"cup, glass",fork'.
        max_detections: Max detections per image.
        exact_decode: Decode large JPEGs at full size. Default: reduced, where the model's input needs no more.
        track: Number the objects of videos, cameras and streams. An object keeps its number from frame to frame.
        save: Folder for copies of the images and videos with boxes drawn.
        as_json: Print JSON instead of a table. Images only.
        output_format: Form of the detections. json-lines and csv are printed, or written to the file --output. The
            others are written to the folder --output.
        output: New file or folder for --format.
        image_url: Start of the images' addresses in the tasks of Label Studio.
    """
    if not sources:
        raise LineageError("no images; expected files, folders or patterns, as in `lineage detect photo.jpg`")
    from model_zoo.contract import pipeline
    from model_zoo.contract.class_filter import parse_classes
    from model_zoo.sources.open import open_sources
    from model_zoo.tracking import track_frames

    output = None if output == Path("-") else output  # standard output, as by default
    _check_output(as_json, output_format, output, save)
    opened = open_sources(sources)
    if as_json and opened.is_video:
        raise LineageError("--json is one document at the end; for videos, expected --format json-lines")
    if track:
        _check_tracking(opened)
    package = find_model(model, repository)
    query = pipeline.make_query(
        package.card,
        score=score,
        iou=iou,
        distance_weight=pipeline.DISTANCE_WEIGHTS[nms] if nms else None,
        classes=parse_classes(classes) if classes else None,
        max_detections=max_detections,
    )
    with ExitStack() as stack:
        results = _start(stack, package, query, opened, exact_decode)
        results = track_frames(results) if track else results
        results = _write(stack, results, package, opened, save, output_format, output, image_url)
        reported = _report(results, opened, None if as_json or output_format else package.card.class_names)
        failed = _print_json(package, reported) if as_json else _count_errors(reported)
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
    return detect_frames(engine, query, sources, exact=exact_decode, live=sources.is_live)


def _write(
    stack: ExitStack,
    results: Iterator[Result],
    package: Package,
    sources: Sources,
    save: Path | None,
    output_format: OutputFormat | None,
    output: Path | None,
    image_url: str,
) -> Iterator[Result]:
    """Return results that are written while they are yielded."""
    from model_zoo.outputs.drawn import plan_copies, save_drawn
    from model_zoo.outputs.records import write_records
    from model_zoo.runtime.label_files import name_images, write_labels

    class_names = package.card.class_names
    if save:
        threads = 1 if sources.is_live else int(cpu_count())
        results = save_drawn(results, plan_copies(sources.items, save), class_names, threads)
    if output_format == "json-lines" or output_format == "csv":
        file = stack.enter_context(_create(output)) if output else sys.stdout
        return write_records(results, class_names, output_format, file)
    if output_format and output:
        names = name_images([source.name for source in sources.items], output_format)
        return write_labels(results, package, names, output, output_format, image_url)
    return results


def _create(path: Path) -> TextIO:
    return path.open("x", encoding="utf-8", errors="backslashreplace", newline="")  # names of files are any bytes


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


def _check_output(as_json: bool, output_format: OutputFormat | None, output: Path | None, save: Path | None) -> None:
    """Check the options of the output, before any work."""
    from model_zoo.contract.targets import check_file_target, check_folder_target
    from model_zoo.runtime.label_files import check_new_folder

    if output_format and as_json:
        raise LineageError("--format and --json are two forms of the output; expected one of them")
    if output and not output_format:
        raise LineageError(f"--output belongs to --format; expected --format {' or '.join(get_args(OutputFormat))}")
    if output_format and not output and output_format not in RECORDS:
        raise LineageError(f"--format {output_format} writes a folder; expected --output FOLDER")
    if output and output_format in RECORDS:
        if os.path.lexists(output):
            raise LineageError(f"{output}: expected a file that does not exist yet; choose another, or remove it")
        check_file_target(output)
    elif output:
        check_new_folder(output)
    if save:
        check_folder_target(save)
    if save and output and save.resolve().is_relative_to(output.resolve()):
        raise LineageError(f"--save {save}: expected a folder outside of --output {output}")


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
