"""Images with the best and the worst detections, drawn with the objects found and missed, and the false detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.detections import Detections
from model_zoo.contract.drawing import Color, draw_colored
from model_zoo.contract.images import decode_image
from training.data.dataset import Record
from training.evaluate.curves import match
from training.report.images import Image, fit, scale_boxes
from training.report.text import shorten

FOUND: Final[Color] = (38, 132, 255)
MISSED: Final[Color] = (255, 176, 0)
FALSE: Final[Color] = (226, 28, 99)
LEGEND: Final = (
    "Blue: objects found. Yellow: objects missed. Red: false detections. An object is found if a detection of its "
    "class covers it with an IoU of at least 0.5."
)
MAX_BEST: Final = 3
MAX_WORST: Final = 6  # they teach most
MAX_LABELED: Final = 8  # found objects whose labels are drawn; of more, they would hide the image
MIN_FALSE: Final = 10  # false detections drawn per image, even if it has fewer objects


@dataclass(frozen=True, eq=False)
class Verdict:
    """Objects that a model found in one image, and those it missed."""

    record: Record
    """The image and its objects. Those marked `crowd` do not count."""
    detections: Detections
    """Detections of at least the score threshold."""
    matches: NDArray[np.int64]
    """Object that each detection finds, or -1."""

    @property
    def objects(self) -> int:
        """Number of objects."""
        return int((~self.record.crowd).sum())

    @property
    def found(self) -> int:
        """Number of objects found."""
        return int((self.matches >= 0).sum())

    @property
    def false(self) -> int:
        """Number of false detections."""
        return len(self.matches) - self.found

    @property
    def f1(self) -> float:
        """F1, 1 without objects and detections."""
        total = self.objects + len(self.matches)
        return 2 * self.found / total if total else 1.0

    def caption(self, name: str) -> str:
        """Return what was found, after a name."""
        return f"{name}: {self.found} of {self.objects} found, {self.false} false"


def judge(records: Sequence[Record], detections: Sequence[Detections], score: float) -> list[Verdict]:
    """Match the detections of at least `score` with the objects of each image."""
    verdicts = []
    for record, detected in zip(records, detections, strict=True):
        kept = detected.scores >= score
        certain = Detections(detected.boxes[kept], detected.scores[kept], detected.class_ids[kept])
        verdicts.append(Verdict(record, certain, match(record, certain)))
    return verdicts


def best_and_worst(verdicts: Sequence[Verdict]) -> tuple[list[Verdict], list[Verdict]]:
    """Return the images with the best F1, and others with the worst, both from the extreme inwards.

    Of equals, the best have the most objects, and the worst the most mistakes.
    """
    worst = min(MAX_WORST, len(verdicts) // 2)
    order = sorted(verdicts, key=lambda v: (-v.f1, (v.objects - v.found + v.false) or -v.objects))
    return order[: min(MAX_BEST, len(verdicts) - worst)], order[len(order) - worst :][::-1]


def draw_verdict(verdict: Verdict, class_names: Sequence[str]) -> Image:
    """Draw objects found and missed, and the best of the false detections, each kind in its color."""
    record, detected, matches = verdict.record, verdict.detections, verdict.matches
    boxes, class_ids = record.boxes[~record.crowd], record.class_ids[~record.crowd]
    missed = np.setdiff1d(np.arange(len(boxes)), matches)
    found = np.flatnonzero(matches >= 0)
    false = np.flatnonzero(matches < 0)
    false = false[np.argsort(-detected.scores[false], kind="stable")][: max(len(boxes), MIN_FALSE)]

    def texts(rows: NDArray[np.intp], mark: str) -> list[str]:
        return [f"{mark}{shorten(class_names[detected.class_ids[i]])} {detected.scores[i]:.2f}" for i in rows]

    labels = [f"missed {shorten(class_names[class_ids[i]])}" for i in missed]
    labels = texts(false, "false ") + labels + (texts(found, "") if len(found) <= MAX_LABELED else [""] * len(found))
    colors = [FALSE] * len(false) + [MISSED] * len(missed) + [FOUND] * len(found)
    image = decode_image(record.path.read_bytes())
    fitted = fit(image)
    drawn = np.concatenate([detected.boxes[false], boxes[missed], detected.boxes[found]])
    return draw_colored(fitted, scale_boxes(drawn, image, fitted), colors, labels)
