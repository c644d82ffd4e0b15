"""`lineage detect`: what POST /detect does, on files and without a server."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import tyro
from tqdm import tqdm  # type: ignore[import-untyped]  # it has no types

from lineage.cli import image_files
from lineage.cli.detect_report import Failed, Found, document, table_head, table_lines
from model_zoo.contract import drawing, pipeline
from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.images import decode_image
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Query
from model_zoo.runtime.base import Engine
from model_zoo.runtime.model_file import open_model_file
from model_zoo.runtime.open import open_engine
from service.inference.bundled import REPOSITORY_HELP, repository_of

SOME_FAILED: Final = 1
_ONLY_MODEL: Final = "(default: the only one there is)"
Item = TypeVar("Item")
Result = TypeVar("Result")


def _option(metavar: str) -> object:
    """Describe an option that the model's card decides where it is left out."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="(default: the model's own)")


def detect(
    paths: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE [IMAGE ...]")],
    *,
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL", help_behavior_hint=_ONLY_MODEL)] = None,
    repository: Annotated[Path | None, tyro.conf.arg(help_behavior_hint=REPOSITORY_HELP)] = None,
    score: Annotated[float | None, _option("NUMBER")] = None,
    iou: Annotated[float | None, _option("NUMBER")] = None,
    nms: Annotated[Literal["diou", "iou"] | None, _option("{diou,iou}")] = None,
    classes: Annotated[str | None, tyro.conf.arg(metavar="NAMES", help_behavior_hint="(default: all)")] = None,
    max_detections: Annotated[int | None, _option("NUMBER")] = None,
    save: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None,
    as_json: Annotated[bool, tyro.conf.arg(name="json", help_behavior_hint="")] = False,
) -> int:
    """Find objects in image files.

    Prints a table, or with --json the document that POST /detect answers. An image that cannot be used is reported, the
    others are still done, and the exit code is 1.

    Args:
        paths: Files, folders (the images directly in them) and quoted patterns such as 'photos/**/*.jpg'.
        model: NAME, NAME@VERSION or NAME@ALIAS in the repository, or an .onnx file with a card inside.
        repository: Folder of the models.
        score: Lowest score to report.
        iou: Threshold of the suppression: the higher, the more boxes may overlap.
        nms: Measure of the suppression: plain IoU, or DIoU, which also looks at the distance of the centers.
        classes: Only these, by name or number, with commas between, such as person,car
        max_detections: Most objects to report per image.
        save: Folder for copies of the images with the boxes drawn in.
        as_json: Print JSON instead of a table.
    """
    if not paths:
        raise LineageError("no images; expected files, folders or patterns, as in `lineage detect photo.jpg`")
    files = image_files.find(paths)
    copies = image_files.plan_copies(files, save) if save else {}
    package = find_model(model, repository)
    query = pipeline.make_query(
        package.card,
        score=score,
        iou=iou,
        distance_weight=pipeline.DISTANCE_WEIGHTS[nms] if nms else None,
        classes=[name.strip() for name in classes.split(",")] if classes else None,
        max_detections=max_detections,
    )
    engine = open_engine(package)
    started = time.perf_counter()
    outcomes = _watch(_run(engine, query, files, copies), len(files), None if as_json else package.card.class_names)
    engine.close()
    if as_json:
        print(json.dumps(document(package, outcomes, time.perf_counter() - started), indent=2))
    return SOME_FAILED if any(isinstance(outcome, Failed) for outcome in outcomes) else 0


def find_model(reference: str | None, repository: Path | None) -> Package:
    """Open the .onnx file or the package that `reference` names; None means the repository's only model."""
    if reference and reference.endswith(".onnx"):
        return open_model_file(Path(reference))
    models = repository_of(repository)
    names = models.names()
    if not reference and len(names) > 1:
        raise LineageError(f"--model: expected one of the models in {models.root}: {', '.join(names)}")
    return models.resolve(reference or "".join(names))


def _run(engine: Engine, query: Query, files: Sequence[Path], copies: dict[Path, Path]) -> Iterator[Found | Failed]:
    """Detect on all files, as many at a time as the engine runs, and give the outcomes in order."""

    def attempt(path: Path) -> Found | Failed:
        try:
            return _detect_one(engine, query, path, copies.get(path))
        except ImageError as error:
            return Failed(path, str(error))

    return _in_order(engine.workers, attempt, files)


def _detect_one(engine: Engine, query: Query, path: Path, copy: Path | None) -> Found:
    began = time.perf_counter()
    image = decode_image(image_files.read(path))
    decoded = time.perf_counter()
    detections = pipeline.detect(engine.card, engine.run, [image], query)[0]
    done = time.perf_counter()
    if copy:
        image_files.write(copy, drawing.draw(image, detections, engine.card.class_names))
    return Found(path, (image.shape[0], image.shape[1]), detections, decoded - began, done - decoded)


def _in_order(workers: int, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map on threads; unlike a `with` block, a stop half way does not wait for what has not begun."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _watch(outcomes: Iterable[Found | Failed], total: int, names: Sequence[str] | None) -> list[Found | Failed]:
    """Collect the outcomes; report what fails as it comes, and what is found too where class names are given."""
    seen = []
    bar = None if total > 1 else True  # None shows it on terminals only
    if names:
        tqdm.write(table_head(names))
    for outcome in tqdm(outcomes, total=total, unit="image", disable=bar):
        seen.append(outcome)
        if isinstance(outcome, Failed):
            tqdm.write(f"lineage: {outcome.path}: {outcome.reason}", file=sys.stderr)
        elif names:
            tqdm.write("\n".join(table_lines(outcome, names)))  # above the bar
    return seen
