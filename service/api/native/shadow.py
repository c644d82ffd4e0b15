"""GET /shadow: how the detections of shadow versions differ from the answers. `service.web` has the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from model_zoo.contract.detection_diff import DEFAULT_LIMITS, Difference
from service.api.problems import documented
from service.inference.shadow_report import IOU_RANGE, SCORE_RANGE, Comparison, Example, ShadowReport
from service.state import AppState

JPEG = "image/jpeg"
Counts = Counter[tuple[str, Difference]]
router = APIRouter(prefix="/shadow", tags=["shadow"])


class Histogram(BaseModel):
    """Counts of pairs in bins of equal width from `low` to `high`."""

    low: float
    high: float
    counts: list[int]


class VersionComparison(BaseModel):
    """Differences of two versions of a model: by kind, and by label and kind.

    `images` counts those compared, dropped and failed. A pair of detections that is both moved and rescored is counted
    in both.
    """

    model: str
    primary: int
    shadow: int
    started: str
    images: dict[str, int]
    different_images: int
    differences: dict[str, int]
    labels: dict[str, dict[str, int]]
    iou: Histogram
    score_change: Histogram
    last_failure: str | None


class DifferentImage(BaseModel):
    """A kept image. `GET /shadow/images/{number}` has both detections drawn."""

    number: int
    model: str
    primary: int
    shadow: int
    labels: dict[str, dict[str, int]]


class Report(BaseModel):
    """All comparisons since the start of the server, the limits of a difference, and the most different images."""

    comparisons: list[VersionComparison]
    limits: dict[str, float]
    waiting: int
    max_images: int
    images: list[DifferentImage]


@router.get("/report", responses={200: {"model": Report}})
async def report(request: Request) -> Response:
    """Report the differences between the answers and the shadow versions."""
    state: AppState = request.state.service
    shadow = state.detection.shadow
    kept = shadow.report if shadow else ShadowReport()
    answer = Report(
        comparisons=[_comparison(comparison) for comparison in kept],
        limits=asdict(DEFAULT_LIMITS),
        waiting=shadow.waiting if shadow else 0,
        max_images=kept.max_examples,
        images=[_image(example) for example in kept.examples()],
    )
    return JSONResponse(answer.model_dump())


IMAGE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {JPEG: {"schema": {"type": "string", "format": "binary"}}}},
    "4XX": documented("The image is not kept"),
}


@router.get("/images/{number}", response_class=Response, responses=IMAGE_RESPONSES)
async def image(request: Request, number: Annotated[int, Path(ge=1)]) -> Response:
    """Return a kept image with the answer on the left and the detections of the shadow on the right."""
    state: AppState = request.state.service
    example = state.detection.shadow.report.example(number) if state.detection.shadow else None
    if example is None:
        raise HTTPException(404, f"image {number} is not kept (any more); GET /shadow/report lists those that are")
    return Response(example.jpeg, media_type=JPEG, headers={"Cache-Control": "no-store"})


def _comparison(comparison: Comparison) -> VersionComparison:
    return VersionComparison(
        model=comparison.shadow.name,
        primary=comparison.primary.version,
        shadow=comparison.shadow.version,
        started=comparison.started.isoformat(timespec="seconds"),
        images={"compared": 0, "dropped": 0, "failed": 0} | dict(comparison.images),
        different_images=comparison.different_images,
        differences=_sum_by_kind(comparison.differences.items()),
        labels=_by_label(comparison.differences),
        iou=Histogram(low=IOU_RANGE[0], high=IOU_RANGE[1], counts=comparison.ious),
        score_change=Histogram(low=SCORE_RANGE[0], high=SCORE_RANGE[1], counts=comparison.score_changes),
        last_failure=comparison.last_failure,
    )


def _image(example: Example) -> DifferentImage:
    comparison = example.comparison
    return DifferentImage(
        number=example.number,
        model=comparison.shadow.name,
        primary=comparison.primary.version,
        shadow=comparison.shadow.version,
        labels=_by_label(example.counts),
    )


def _by_label(counts: Counts) -> dict[str, dict[str, int]]:
    labels = sorted({label for label, _ in counts})
    return {label: _sum_by_kind(item for item in counts.items() if item[0][0] == label) for label in labels}


def _sum_by_kind(counts: Iterable[tuple[tuple[str, Difference], int]]) -> dict[str, int]:
    sums = {"same": 0, "moved": 0, "rescored": 0, "lost": 0, "found": 0}
    for (_, difference), number in counts:
        sums[difference] += number
    return sums
