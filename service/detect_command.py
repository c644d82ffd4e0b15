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
from tqdm import tqdm  # type: ignore[import-untyped]

from model_zoo.contract import drawing, pipeline
from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.images import decode_image
from model_zoo.contract.package import Package, Repository
from model_zoo.contract.pipeline import Query
from service import image_files
from service.detect_report import Failed, Found, document, table
from service.engines import onnxruntime
from service.engines.base import Engine, EngineOptions
from service.loose_model import open_loose

DISTANCE_WEIGHTS: Final = {"diou": 1.0, "iou": 0.0}
SOME_FAILED: Final = 1
Item = TypeVar("Item")
Result = TypeVar("Result")


def detect(
    paths: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE [IMAGE ...]")],
    *,
    model: str | None = None,
    repository: Path = Path("models"),
    score: float | None = None,
    iou: float | None = None,
    nms: Literal["diou", "iou"] | None = None,
    classes: str | None = None,
    max_detections: int | None = None,
    save: Path | None = None,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Find objects in image files.

    Prints a table, or with --json the document that POST /detect answers. An image that cannot be used is reported, the
    others are still done, and the exit code is 1. What is not given is the model's own choice.

    Args:
        paths: Files, folders (the images directly in them) and quoted patterns such as 'photos/**/*.jpg'.
        model: NAME, NAME@VERSION or NAME@ALIAS in the repository, or an .onnx file with a card inside. May be left out
            where the repository has one model.
        repository: Folder of the models.
        score: Lowest score to report.
        iou: Threshold of the suppression: the higher, the more boxes may overlap.
        nms: Measure of the suppression: plain IoU, or DIoU, which also looks at the distance of the centres.
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
        distance_weight=DISTANCE_WEIGHTS[nms] if nms else None,
        classes=[name.strip() for name in classes.split(",")] if classes else None,
        max_detections=max_detections,
    )
    started, failed = time.perf_counter(), list[Failed]()
    progress = tqdm(_run(package, query, files, copies), total=len(files), unit="image", disable=_quiet(files))
    found = _complain(progress, failed)
    if as_json:
        results = list(found)
        print(json.dumps(document(package, results, (time.perf_counter() - started) * 1000), indent=2))
    else:
        for line in table(found, package.card.class_names):
            tqdm.write(line)  # above the progress bar
    return SOME_FAILED if failed else 0


def find_model(reference: str | None, repository: Path) -> Package:
    """Open the .onnx file or the package that `reference` names; None means the repository's only model."""
    if reference and reference.endswith(".onnx"):
        return open_loose(Path(reference))
    models = Repository(repository)
    names = models.names()
    if not reference and len(names) > 1:
        raise LineageError(f"--model: expected one of the models in {repository}: {', '.join(names)}")
    return models.resolve(reference or "".join(names))


def _run(package: Package, query: Query, files: Sequence[Path], copies: dict[Path, Path]) -> Iterator[Found | Failed]:
    """Detect on all files, as many at a time as the engine runs, and give the outcomes in order."""
    engine = onnxruntime.load(package, EngineOptions())

    def attempt(path: Path) -> Found | Failed:
        try:
            return _detect_one(engine, query, path, copies.get(path))
        except ImageError as error:
            return Failed(path, str(error))

    yield from _in_order(engine.workers, attempt, files)
    engine.close()


def _detect_one(engine: Engine, query: Query, path: Path, copy: Path | None) -> Found:
    image = decode_image(image_files.read(path))
    detections = pipeline.detect(engine.card, engine.run, [image], query)[0]
    if copy:
        image_files.write(copy, drawing.draw(image, detections, engine.card.class_names))
    return Found(path, (image.shape[0], image.shape[1]), detections)


def _in_order(workers: int, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map on threads; unlike a `with` block, a stop half way does not wait for what has not begun."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _complain(outcomes: Iterable[Found | Failed], failed: list[Failed]) -> Iterator[Found]:
    """Report what failed on stderr, keep it in `failed`, and pass on the rest."""
    for outcome in outcomes:
        if isinstance(outcome, Found):
            yield outcome
        else:
            failed.append(outcome)
            tqdm.write(f"lineage: {outcome.path}: {outcome.reason}", file=sys.stderr)


def _quiet(files: Sequence[Path]) -> bool | None:
    """Tell tqdm to show a bar (None: on terminals only) where there is something to wait for."""
    return None if len(files) > 1 else True
