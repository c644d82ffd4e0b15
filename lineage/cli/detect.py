"""`lineage detect`: detect objects in image files, as POST /detect does."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import tyro

from lineage.cli.arguments import option
from model_zoo.contract.errors import LineageError
from model_zoo.contract.image_size import format_size
from service.inference.bundled import REPOSITORY_HELP, repository_of

if TYPE_CHECKING:
    from model_zoo.contract.package import Package
    from model_zoo.runtime.detect_files import FileError, FileResult

SOME_FAILED: Final = 1
CARD_DEFAULT: Final = "(default: the model's own)"


def detect(
    paths: Annotated[tuple[str, ...], tyro.conf.Positional, option("IMAGE [IMAGE ...]")],
    *,
    model: Annotated[str | None, option("MODEL", hint="(default: the repository's only model)")] = None,
    repository: Annotated[Path | None, option("FOLDER", hint=REPOSITORY_HELP)] = None,
    score: Annotated[float | None, option("NUMBER", hint=CARD_DEFAULT)] = None,
    iou: Annotated[float | None, option("NUMBER", hint=CARD_DEFAULT)] = None,
    nms: Annotated[Literal["diou", "iou"] | None, option(hint=CARD_DEFAULT)] = None,
    classes: Annotated[str | None, option("NAMES", hint="(default: all)")] = None,
    max_detections: Annotated[int | None, option("NUMBER", hint=CARD_DEFAULT)] = None,
    exact_decode: bool = False,
    save: Annotated[Path | None, option("FOLDER")] = None,
    as_json: Annotated[bool, option(name="json")] = False,
    label_format: Annotated[Literal["coco", "yolo", "label-studio"] | None, option(name="format")] = None,
    output: Annotated[Path | None, option("FOLDER")] = None,
    image_url: Annotated[str, option("URL")] = "/data/local-files/?d=",
) -> int:
    """Detect objects in image files.

    Prints a table, with --json the response of POST /detect, or with --format writes files for labeling tools and
    training. An image that cannot be read is reported, the other images are processed, and the exit code is 1.

    Args:
        paths: Files, folders (the images directly in them) and quoted patterns such as 'images/**/*.jpg'.
        model: NAME, NAME@VERSION or NAME@ALIAS in the repository, or an .onnx file that `lineage export` wrote.
        repository: Folder of the repository.
        score: Min score of a detection, from 0 to 1.
        iou: NMS threshold, from 0 to 1. Higher values allow more overlap between boxes.
        nms: Overlap measure of NMS: IoU, or DIoU, which also considers the distance between centers.
        classes: Only these classes, by name or index, separated by commas, such as person,car. A name with a comma is
            quoted: '"cup, glass",fork'.
        max_detections: Max detections per image.
        exact_decode: Decode large JPEGs at full size. Default: reduced, where the model's input needs no more.
        save: Folder for copies of the images with boxes drawn.
        as_json: Print JSON instead of a table.
        label_format: Write the detections to --output in this format instead of printing them.
        output: New folder for --format.
        image_url: Start of the images' addresses in the tasks of Label Studio.
    """
    if not paths:
        raise LineageError("no images; expected files, folders or patterns, as in `lineage detect photo.jpg`")
    from model_zoo.contract import pipeline
    from model_zoo.contract.class_filter import parse_classes
    from model_zoo.contract.images.files import find_images
    from model_zoo.contract.targets import check_folder_target
    from model_zoo.runtime.detect_files import detect_files, plan_copies
    from model_zoo.runtime.label_files import name_images, write_labels
    from model_zoo.runtime.open import open_engine

    _check_output(as_json, label_format, output)
    if save:
        check_folder_target(save)
    files = find_images(paths)
    copies = plan_copies(files, save) if save else {}
    names = name_images(files, label_format) if label_format else {}
    package = find_model(model, repository)
    query = pipeline.make_query(
        package.card,
        score=score,
        iou=iou,
        distance_weight=pipeline.DISTANCE_WEIGHTS[nms] if nms else None,
        classes=parse_classes(classes) if classes else None,
        max_detections=max_detections,
    )
    engine = open_engine(package)
    results = detect_files(engine, query, files, copies, exact=exact_decode)
    if label_format and output:
        results = write_labels(results, package, names, output, label_format, image_url)
    class_names = None if as_json or label_format else package.card.class_names
    reported = _report(results, len(files), class_names)
    failed = _print_json(package, reported) if as_json else _count_errors(reported)
    engine.close()
    return SOME_FAILED if failed else 0


def find_model(reference: str | None, repository: Path | None) -> Package:
    """Return the .onnx file or the package that `reference` names, by default the repository's only model."""
    if reference and (reference.endswith(".onnx") or Path(reference).is_file()):
        from model_zoo.runtime.model_file import open_model_file

        return open_model_file(Path(reference))
    if reference and (Path(reference) / "best.safetensors").is_file():
        raise LineageError(
            f"--model {reference}: expected a model; this is a training run; publish it with "
            f"`lineage export {reference} --name NAME`"
        )
    models = repository_of(repository)
    names = models.names()
    if not reference and len(names) > 1:
        raise LineageError(f"--model: expected one of the models in {models.root}: {', '.join(names)}")
    return models.resolve(reference or "".join(names))


def _check_output(as_json: bool, label_format: str | None, output: Path | None) -> None:
    """Check the options of the output, before any work."""
    from model_zoo.runtime.label_files import check_new_folder

    if label_format and as_json:
        raise LineageError("--format writes files and --json prints; expected one of them")
    if bool(label_format) != bool(output):
        missing = "--output FOLDER" if label_format else "--format coco, yolo or label-studio"
        raise LineageError(f"expected {missing}; --format and --output belong together")
    if output:
        check_new_folder(output)


def _report(
    results: Iterable[FileResult | FileError], total: int, class_names: Sequence[str] | None
) -> Iterator[FileResult | FileError]:
    """Yield the results, and print errors to stderr, and detections too if class names are given, as they arrive."""
    from tqdm import tqdm

    from model_zoo.progress import track
    from model_zoo.runtime.detect_files import FileError

    has_head = False
    for result in track(results, "detect", total):
        yield result
        if isinstance(result, FileError):
            tqdm.write(f"lineage: {result.path}: {result.reason}", file=sys.stderr)
            continue
        if result.warning:
            tqdm.write(f"lineage: warning: {result.path}: {result.warning}", file=sys.stderr)
        if class_names:
            if not has_head:
                tqdm.write(_table_head(class_names))
                has_head = True
            tqdm.write("\n".join(_table_lines(result, class_names)))  # above the bar


def _print_json(package: Package, results: Iterable[FileResult | FileError]) -> int:
    """Print all results as the response of POST /detect. Return the number of errors."""
    from model_zoo.runtime.detect_files import results_document

    start = time.perf_counter()
    collected = list(results)
    print(json.dumps(results_document(package, collected, time.perf_counter() - start), indent=2))
    return _count_errors(collected)


def _count_errors(results: Iterable[FileResult | FileError]) -> int:
    from model_zoo.runtime.detect_files import FileError

    return sum(isinstance(result, FileError) for result in results)


def _table_head(class_names: Sequence[str]) -> str:
    return f"  {'label':<{_label_width(class_names)}}  score     left      top    right   bottom"


def _table_lines(result: FileResult, class_names: Sequence[str]) -> list[str]:
    """Return a line for the image and one for each detection."""
    count = len(result.detections)
    objects = "1 object" if count == 1 else f"{count or 'no'} objects"
    lines = [f"{result.path}  {format_size(result.size)}  {objects}"]
    for entry in result.detections.to_dict(class_names):
        corners = "".join(f"{v:9.1f}" for v in entry["box"])
        lines.append(f"  {entry['label']:<{_label_width(class_names)}}  {entry['score']:5.2f}{corners}")
    return lines


def _label_width(class_names: Sequence[str]) -> int:
    return max(len("label"), *map(len, class_names))
