"""Golden images: images of a package with the detections that every runtime must return for them.

    golden/expected.json    a GoldenSet
    golden/1.png            and the other images

Detections are compared by class, IoU and score. Runtimes round differently, so some may differ: scores close to the
threshold, and boxes that another one almost suppresses. The tolerance states how many. Rounding to int8 differs by one
step between kernels, which changes the scores as much as the quantization itself does: its tolerance is wide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract import manifest, typed_json
from model_zoo.contract.boxes import cxcywh_to_xyxy, pairwise_iou, xyxy_to_cxcywh
from model_zoo.contract.card import ModelCard, Precision
from model_zoo.contract.detections import BOX_DECIMALS, SCORE_DECIMALS, Detections
from model_zoo.contract.errors import ImageError, LineageError, PackageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.images import decode_image
from model_zoo.contract.letterbox import Size
from model_zoo.contract.manifest import EXPECTED, GOLDEN
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Query

SCHEMA_VERSION: Final = 1
MAX_CASES: Final = 32
MIN_SIDE: Final = 32  # pixels; smaller boxes are enlarged, so that half a pixel remains a small difference
Row = tuple[float, float, float, float, float, int]  # x1, y1, x2, y2, score, class id


@dataclass(frozen=True)
class Tolerance:
    """Differences that are allowed between two runtimes."""

    score: float
    """Largest difference of two scores, relative to the expected score."""
    box: float
    """Largest difference of two boxes, as 1 - IoU."""
    share: float
    """Largest share of the detections of an image, expected and actual ones, that find no partner so close."""

    def widen(self, other: Tolerance) -> Tolerance:
        """Return a tolerance that allows what either of two allows."""
        return Tolerance(max(self.score, other.score), max(self.box, other.box), max(self.share, other.share))


# Measured on CPUs with AVX2, VNNI and AMX, and OpenVINO: docs/repository.md.
TOLERANCES: Final[Mapping[Precision, Tolerance]] = {
    "fp32": Tolerance(score=0.02, box=0.03, share=0.1),
    "fp16": Tolerance(score=0.05, box=0.05, share=0.1),
    "bf16": Tolerance(score=0.2, box=0.1, share=0.2),
    "int8": Tolerance(score=0.5, box=0.3, share=0.3),
}


@dataclass(frozen=True)
class GoldenCase:
    """One image on one canvas, and the detections expected for it."""

    image: str
    """Name of the image file in the folder `golden`."""
    canvas: Size
    """Canvas (height, width) on which the image was run."""
    score: float
    """Min score of a detection, exclusive."""
    detections: tuple[Row, ...]
    """Expected detections in pixels of the image, best score first: x1, y1, x2, y2, score, class id."""

    def expected(self) -> Detections:
        """Return the expected detections."""
        rows = np.asarray(self.detections, dtype=np.float64).reshape(-1, 6)
        return Detections(rows[:, :4].astype(np.float32), rows[:, 4].astype(np.float32), rows[:, 5].astype(np.int64))


@dataclass(frozen=True)
class GoldenSet:
    """Content of golden/expected.json."""

    cases: tuple[GoldenCase, ...]
    """Images and what to detect on them."""
    iou: float
    """Measure above which NMS suppresses a box."""
    distance_weight: float
    """1 for DIoU-NMS, 0 for plain IoU-NMS."""
    tolerance: Tolerance
    """Differences that are allowed."""
    precision: Precision
    """Precision of the model file."""
    runtime: str
    """Library and version that computed the detections."""
    schema_version: int = SCHEMA_VERSION
    """Version of this schema."""

    def to_json(self) -> str:
        """Return the set as a JSON document, with one line for each case."""
        data = asdict(self) | {"cases": []}
        cases = ",\n".join(json.dumps(asdict(case)) for case in self.cases)
        return json.dumps(data, indent=2).replace('"cases": []', f'"cases": [\n{cases}\n]') + "\n"

    def query(self, case: GoldenCase, card: ModelCard) -> Query:
        """Return the query of a case. Its min score may be lower than requests are allowed."""
        return Query(case.score, self.iou, self.distance_weight, None, card.candidates)


def read(package: Package) -> GoldenSet | None:
    """Return the golden set of a package, or None if it has none.

    Raises:
        PackageError: the set is invalid or incomplete.
    """
    names = {file.name for file in package.files}
    if EXPECTED not in names:
        return None
    try:
        golden = _parse(manifest.locate(package.path, EXPECTED).read_text(encoding="utf-8"))
        _check(golden, package.card, names)
    except (LineageError, OSError, UnicodeDecodeError) as error:
        raise PackageError(f"{package.reference}: {EXPECTED}: {error}; publish the model again") from error
    return golden


def read_image(package: Package, case: GoldenCase) -> NDArray[np.uint8]:
    """Return the image of a case, RGB.

    Raises:
        PackageError: it cannot be decoded.
    """
    name = GOLDEN + case.image
    try:
        return decode_image(manifest.locate(package.path, name).read_bytes())
    except (ImageError, OSError) as error:
        raise PackageError(f"{package.reference}: {name}: {error}; publish the model again") from error


def round_detections(detections: Detections) -> tuple[Row, ...]:
    """Return detections as the rows of a case, rounded as in answers of the service."""
    return tuple(
        (*_round_box(box), round(float(score), SCORE_DECIMALS + 3), int(class_id))
        for box, score, class_id in zip(detections.boxes, detections.scores, detections.class_ids, strict=True)
    )


def _round_box(box: NDArray[np.float32]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (round(float(side), BOX_DECIMALS) for side in box)
    return left, top, right, bottom


def agreement(golden: GoldenSet, case: GoldenCase, actual: Detections) -> float:
    """Return the share of detections, expected and actual ones, that need no partner or have one."""
    lost, new = _unmatched(golden, case, actual)
    return 1 - (len(lost) + len(new)) / max(len(case.detections) + len(actual), 1)


def compare(golden: GoldenSet, case: GoldenCase, actual: Detections, card: ModelCard) -> str | None:
    """Return what differs beyond the tolerance, or None.

    Detections with a score in reach of the threshold need no partner.
    """
    expected, allowed = case.expected(), golden.tolerance
    lost, new = _unmatched(golden, case, actual)
    if len(lost) + len(new) <= allowed.share * (len(expected) + len(actual)) and np.isfinite(actual.boxes).all():
        return None
    return (
        f"golden image {case.image} on {format_size(case.canvas)}: expected the {len(expected)} detections of "
        f"{golden.runtime}, with scores within {allowed.score:.0%}, IoUs of at least {1 - allowed.box:g} and up to "
        f"{allowed.share:.0%} different ones; got {len(actual)}, of which {len(new)} are new and {len(lost)} are "
        f"missing{_example(expected, lost, 'expected', card)}{_example(actual, new, 'got', card)}"
    )


def _unmatched(golden: GoldenSet, case: GoldenCase, actual: Detections) -> tuple[list[int], list[int]]:
    """Return the expected and the actual detections that should have a partner and have none, by index."""
    expected = case.expected()
    partners = _match(expected, actual, golden.tolerance)
    clear = case.score * (1 + golden.tolerance.score)
    lost = [i for i in range(len(expected)) if i not in partners and expected.scores[i] > clear]
    new = sorted({*range(len(actual))} - {*partners.values()} - {*np.flatnonzero(~(actual.scores > clear)).tolist()})
    return lost, new


def _match(expected: Detections, actual: Detections, allowed: Tolerance) -> dict[int, int]:
    """Return the index of the actual detection of each expected one that has a partner, best scores first."""
    if not len(expected) or not len(actual):
        return {}
    iou = pairwise_iou(_with_min_side(expected.boxes), _with_min_side(actual.boxes))
    close = np.abs(expected.scores[:, None] - actual.scores) <= allowed.score * expected.scores[:, None] + 1e-9
    same = expected.class_ids[:, None] == actual.class_ids
    quality = np.where(close & same & (iou >= 1 - allowed.box), iou, 0)
    partners: dict[int, int] = {}
    for index in range(len(expected)):
        best = int(np.argmax(quality[index]))
        if quality[index, best] > 0:
            partners[index] = best
            quality[:, best] = 0
    return partners


def _with_min_side(boxes: NDArray[np.float32]) -> NDArray[np.floating]:
    """Return float64 boxes with the same centers and sides of at least MIN_SIDE. NaN matches nothing."""
    enlarged = xyxy_to_cxcywh(np.nan_to_num(boxes.astype(np.float64), nan=-1e6))
    enlarged[..., 2:] = np.maximum(enlarged[..., 2:], MIN_SIDE)
    return cxcywh_to_xyxy(enlarged)


def _example(detections: Detections, indices: Sequence[int], word: str, card: ModelCard) -> str:
    """Describe the best of the detections without a partner."""
    if not indices:
        return ""
    best = indices[0]
    box = ", ".join(f"{side:.1f}" for side in detections.boxes[best])
    class_id = int(detections.class_ids[best])
    label = card.class_names[class_id] if 0 <= class_id < len(card.class_names) else f"class {class_id}"
    return f"; {word} {label} {detections.scores[best]:.3g} at [{box}]"


def _parse(text: str) -> GoldenSet:
    data = typed_json.parse(text)
    typed_json.check_schema(data, SCHEMA_VERSION)
    return GoldenSet(**typed_json.read_fields(GoldenSet, data))


def _check(golden: GoldenSet, card: ModelCard, names: set[str]) -> None:
    """Check what the types do not.

    Raises:
        LineageError: a value is out of range, or an image is missing.
    """
    if not 1 <= len(golden.cases) <= MAX_CASES:
        raise LineageError(f"cases: expected 1 to {MAX_CASES}; got {len(golden.cases)}")
    for name, value in asdict(golden.tolerance).items():
        if not 0 <= value < 1:
            raise LineageError(f"tolerance.{name}: expected a number from 0 to below 1; got {value:g}")
    for name in ("iou", "distance_weight"):
        if not 0 <= (value := getattr(golden, name)) <= 1:
            raise LineageError(f"{name}: expected a number from 0 to 1; got {value:g}")
    for i, case in enumerate(golden.cases):
        if not 0 <= case.score < 1:  # no detection exceeds a higher one, and the case would check nothing
            raise LineageError(f"cases[{i}].score: expected a number from 0 to below 1; got {case.score:g}")
        if GOLDEN + case.image not in names:
            raise LineageError(f"cases[{i}].image: expected one of the images in the manifest; got {case.image!r}")
        if any(side <= 0 or side % card.stride for side in case.canvas):
            raise LineageError(f"cases[{i}].canvas: expected multiples of {card.stride}; got {list(case.canvas)}")
        for row in case.detections:
            if not 0 <= row[5] < len(card.class_names):
                raise LineageError(
                    f"cases[{i}].detections: expected a class id below {len(card.class_names)}; got {row[5]}"
                )
