"""Check that an engine detects on the golden images of its package what was expected at export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from model_zoo.contract import golden
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.golden import TOLERANCES, GoldenCase, GoldenSet
from model_zoo.contract.letterbox import Size
from model_zoo.contract.manifest import EXPECTED
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds, ModelInput, choose_canvas, collate, make_query, postprocess, preprocess
from model_zoo.runtime.base import Engine

Job = tuple[GoldenCase, ModelInput]


def has_golden(package: Package) -> bool:
    """Return True if a package has golden images."""
    return any(file.name == EXPECTED for file in package.files)


def check_golden(package: Package, engine: Engine) -> int:
    """Run the golden images of a package in batches as large as the engine allows, and return their number.

    Cases of other canvases than the engine would choose are skipped, and so is a package without golden images. The
    tolerance is that of the package, or of the precision of the engine if it is wider.

    Raises:
        PackageError: the engine fails or detects something else, or the golden set is damaged.
    """
    count = 0
    for _, difference in _differences(package, engine):
        count += 1
        if difference:
            raise PackageError(
                f"{package.reference}: {difference}. The model file or the runtime ({engine.device}) does not work as "
                "at the export; publish the model again, choose another runtime, or give --no-verify-on-load"
            )
    return count


def measure_agreement(package: Package, engine: Engine) -> tuple[float, str | None]:
    """Return the share of detections that agree on the worst golden image, and what differs beyond the tolerance.

    Raises:
        PackageError: the engine fails, or the golden set is damaged.
    """
    results = list(_differences(package, engine))
    difference = next((text for _, text in results if text), None)
    return min((share for share, _ in results), default=0.0), difference


def golden_feeds(package: Package, engine: Engine) -> list[Feeds]:
    """Return the golden images as inputs of a graph, one by one, with the default thresholds of the card."""
    expected = golden.read(package)
    query = make_query(engine.card)
    return [collate([item], [query]) for _, item in _jobs(package, engine, expected)] if expected else []


def _differences(package: Package, engine: Engine) -> Iterator[tuple[float, str | None]]:
    """Yield the share of detections that agree for each case, and what differs beyond the tolerance."""
    expected = golden.read(package)
    if expected is None:
        return
    tolerance = expected.tolerance.widen(TOLERANCES["bf16" if engine.choice.compute == "bf16" else "fp32"])
    expected = replace(expected, tolerance=tolerance)
    for batch in _batches(list(_jobs(package, engine, expected)), engine.max_batch):
        for case, detections in _run(package, engine, expected, batch):
            difference = golden.compare(expected, case, detections, engine.card)
            yield golden.agreement(expected, case, detections), difference


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


def _run(
    package: Package, engine: Engine, expected: GoldenSet, batch: Sequence[Job]
) -> Iterator[tuple[GoldenCase, Detections]]:
    queries = [expected.query(case, engine.card) for case, _ in batch]
    try:
        rows, counts = engine.run(collate([item for _, item in batch], queries))
    except LineageError:
        raise
    except Exception as error:  # runtimes' exceptions share no base class
        names = ", ".join(case.image for case, _ in batch)
        raise PackageError(f"{package.reference}: the engine fails on golden images {names}: {error}") from error
    for (case, item), image_rows, count, query in zip(batch, rows, counts, queries, strict=True):
        yield case, postprocess(image_rows, int(count), item.geometry, query)
