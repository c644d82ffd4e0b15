"""Detect objects in image files, and write copies with boxes drawn.

engine = open_engine(package)
for result in detect_files(engine, make_query(package.card), find_images(["images"])):
    ...
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from model_zoo.contract import drawing, pipeline
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.images import decode_image
from model_zoo.contract.images.files import IMAGE_SUFFIXES, read_image_file, write_image
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Query
from model_zoo.runtime.base import Engine

NO_COPIES: Final[Mapping[Path, Path]] = {}


@dataclass(frozen=True)
class FileResult:
    """Detections of one image file."""

    path: Path
    """Image file."""
    size: Size
    """Height and width of the image in pixels."""
    detections: Detections
    """Detections in pixels of the image."""
    decode_seconds: float
    """Time to read the file and decode it onto a canvas."""
    infer_seconds: float
    """Time from the canvas to detections."""
    warning: str = ""
    """Description of damage that the decoder skips, empty if there is none."""


@dataclass(frozen=True)
class FileError:
    """An image file that cannot be used."""

    path: Path
    """Image file."""
    reason: str
    """Message of the error."""


def detect_files(
    engine: Engine,
    query: Query,
    paths: Iterable[str | Path],
    copies: Mapping[Path, Path] = NO_COPIES,
    *,
    exact: bool = False,
) -> Iterator[FileResult | FileError]:
    """Yield the result of every file, in order. As many files run in parallel as the engine has workers.

    Args:
        engine: Engine of the model.
        query: Thresholds, classes and limits.
        paths: Image files.
        copies: Files to write copies with boxes to, by image file.
        exact: Decode large JPEGs at full size, as in `read_input`.
    """

    def run(path: Path) -> FileResult | FileError:
        try:
            return _detect_file(engine, query, path, copies.get(path), exact)
        except ImageError as error:
            return FileError(path, str(error))

    pool = ThreadPoolExecutor(engine.workers)
    try:
        yield from pool.map(run, map(Path, paths))
    finally:  # a `with` block would first run all files of an abandoned iteration
        pool.shutdown(cancel_futures=True)


def plan_copies(paths: Iterable[str | Path], folder: str | Path) -> dict[Path, Path]:
    """Assign every image a file in `folder`: its own name, with -2, -3 ... added to duplicates.

    Raises:
        LineageError: A copy would overwrite one of the images, directly or through a link.
    """
    files, folder = list(map(Path, paths)), Path(folder)
    originals = {_file_id(path) for path in files if path.exists()}
    copies: dict[Path, Path] = {}
    used: set[str] = set()
    for path in files:
        copies[path] = copy = _unused_name(folder, path, used)
        if copy.exists() and _file_id(copy) in originals:
            raise LineageError(f"--save {folder}: {copy} is one of the input images; choose another folder")
    return copies


def results_document(
    package: Package, results: Sequence[FileResult | FileError], total_seconds: float
) -> dict[str, Any]:
    """Return results as the JSON document of POST /detect. Its times are the slowest file's, and the total."""
    done = [result for result in results if isinstance(result, FileResult)]
    seconds = {
        "decode": max((result.decode_seconds for result in done), default=0.0),
        "queue": 0.0,
        "infer": max((result.infer_seconds for result in done), default=0.0),
        "total": total_seconds,
    }
    return {
        "model": {"name": package.name, "version": package.version},
        "results": [{"file": str(r.path)} | _result_entry(r, package.card.class_names) for r in results],
        "timing_ms": {stage: round(1000 * value, 3) for stage, value in seconds.items()},
    }


def _detect_file(engine: Engine, query: Query, path: Path, copy: Path | None, exact: bool) -> FileResult:
    warnings: list[str] = []
    start = time.perf_counter()
    data = read_image_file(path)
    item = pipeline.read_input(engine.card, data, engine.canvases, exact=exact, warn=warnings.append)
    decoded = time.perf_counter()
    [detections] = pipeline.detect_inputs(engine.run, [item], query)
    done = time.perf_counter()
    if copy:
        write_image(copy, drawing.draw(decode_image(data), detections, engine.card.class_names))
    return FileResult(path, item.geometry.image, detections, decoded - start, done - decoded, "".join(warnings))


def _result_entry(result: FileResult | FileError, names: Sequence[str]) -> dict[str, Any]:
    if isinstance(result, FileError):
        return {"error": {"detail": result.reason}}
    height, width = result.size
    return {"image": {"width": width, "height": height}, "detections": result.detections.to_dict(names)}


def _unused_name(folder: Path, path: Path, used: set[str]) -> Path:
    """Return a name with a writable suffix, unique even on file systems that ignore case."""
    suffix = path.suffix if path.suffix.lower() in IMAGE_SUFFIXES else f"{path.suffix}.jpg"
    name, number = path.stem + suffix, 2
    while name.casefold() in used:
        name, number = f"{path.stem}-{number}{suffix}", number + 1
    used.add(name.casefold())
    return folder / name


def _file_id(path: Path) -> tuple[int, int]:
    """Return what identifies a file regardless of its name: links to it have the same."""
    status = path.stat()
    return status.st_dev, status.st_ino
