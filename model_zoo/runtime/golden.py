"""Check that an engine detects on the golden images of its package what was expected at export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from model_zoo.contract import golden
from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.golden import GoldenCase, GoldenSet
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import ModelInput, choose_canvas, collate, postprocess, preprocess
from model_zoo.runtime.base import Engine

Job = tuple[GoldenCase, ModelInput]


def check_golden(package: Package, engine: Engine) -> int:
    """Run the golden images of a package in batches as large as the engine allows, and return their number.

    Cases of other canvases than the engine would choose are skipped, and so is a package without golden images.

    Raises:
        PackageError: the engine fails or detects something else, or the golden set is damaged.
    """
    expected = golden.read(package)
    if expected is None:
        return 0
    jobs = list(_jobs(package, engine, expected))
    for batch in _batches(jobs, engine.max_batch):
        _check_batch(package, engine, expected, batch)
    return len(jobs)


def _jobs(package: Package, engine: Engine, expected: GoldenSet) -> Iterator[Job]:
    """Yield the cases on the canvas that the engine would choose."""
    for _, cases in groupby(expected.cases, key=lambda case: case.image):
        same = list(cases)
        image = golden.read_image(package, same[0])
        canvas = choose_canvas(engine.card, (image.shape[0], image.shape[1]), engine.canvases)
        yield from ((case, preprocess(engine.card, image, canvas)) for case in same if case.canvas == canvas)


def _batches(jobs: Sequence[Job], limit: int) -> Iterator[Sequence[Job]]:
    def canvas(job: Job) -> Size:
        return job[0].canvas

    for _, same in groupby(sorted(jobs, key=canvas), key=canvas):
        group = list(same)
        yield from (group[start : start + limit] for start in range(0, len(group), limit))


def _check_batch(package: Package, engine: Engine, expected: GoldenSet, batch: Sequence[Job]) -> None:
    queries = [expected.query(case, engine.card) for case, _ in batch]
    try:
        rows, counts = engine.run(collate([item for _, item in batch], queries))
    except LineageError:
        raise
    except Exception as error:  # runtimes' exceptions share no base class
        names = ", ".join(case.image for case, _ in batch)
        raise PackageError(f"{package.reference}: the engine fails on golden images {names}: {error}") from error
    for (case, item), image_rows, count, query in zip(batch, rows, counts, queries, strict=True):
        detections = postprocess(image_rows, int(count), item.geometry, query)
        if difference := golden.compare(expected, case, detections, engine.card):
            raise PackageError(
                f"{package.reference}: {difference}. The model file or the runtime ({engine.device}) does not work as "
                "at the export; publish the model again, choose another runtime, or give --no-verify-on-load"
            )
