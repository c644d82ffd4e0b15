"""Images with the best and the worst detections."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from model_zoo.contract.detections import Detections
from training.data.dataset import Record
from training.report.verdicts import (
    FALSE,
    FOUND,
    MAX_BEST,
    MAX_WORST,
    MISSED,
    Verdict,
    best_and_worst,
    draw_verdict,
    judge,
)

SIDE = 480  # of an image, so that a sheet shows it at its size


def make_record(path: Path, objects: int, crowd: int = 0) -> Record:
    """Return an image with a row of objects of class 0, the last ones marked `crowd`."""
    left = 40.0 * np.arange(objects)
    boxes = np.stack([left, left * 0 + 100, left + 30, left * 0 + 130], axis=1).astype(np.float32)
    flags = np.arange(objects) >= objects - crowd
    return Record(path, (SIDE, SIDE), boxes, np.zeros(objects, np.int64), flags, np.full(objects, 900, np.float32), 0)


def detect(record: Record, found: int, false: int, score: float = 0.9) -> Detections:
    """Return detections of the first objects, and false ones elsewhere."""
    wrong = np.tile(np.asarray([[200, 300, 260, 360]], np.float32), (false, 1))
    boxes = np.concatenate([record.boxes[:found], wrong])
    return Detections(boxes, np.full(len(boxes), score, np.float32), np.zeros(len(boxes), np.int64))


def verdict(objects: int, found: int, false: int) -> Verdict:
    record = make_record(Path("a.png"), objects)
    return judge([record], [detect(record, found, false)], 0.5)[0]


def test_objects_found_and_false_detections_are_counted() -> None:
    one = verdict(4, 3, 2)
    assert (one.objects, one.found, one.false) == (4, 3, 2)
    assert one.f1 == pytest.approx(2 * 3 / (4 + 5))
    assert one.caption("a.png") == "a.png: 3 of 4 found, 2 false"


def test_low_scores_and_crowds_do_not_count() -> None:
    record = make_record(Path("a.png"), 3, crowd=1)
    [unsure] = judge([record], [detect(record, 2, 1, score=0.4)], 0.5)
    assert (unsure.objects, unsure.found, unsure.false) == (2, 0, 0)


def test_image_without_objects_and_detections_is_right() -> None:
    assert verdict(0, 0, 0).f1 == 1
    assert verdict(0, 0, 1).f1 == 0


def test_best_have_the_most_objects_and_worst_the_most_mistakes() -> None:
    verdicts = [verdict(1, 1, 0), verdict(5, 5, 0), verdict(1, 0, 0), verdict(5, 0, 2), verdict(2, 1, 0)]
    best, worst = best_and_worst(verdicts)
    assert [v.objects for v in best] == [5, 1, 2]
    assert [v.objects - v.found + v.false for v in worst] == [7, 1]


@pytest.mark.parametrize("count", [0, 1, 3, 100])
def test_no_image_is_both_best_and_worst(count: int) -> None:
    verdicts = [verdict(1, 1, i % 3) for i in range(count)]
    best, worst = best_and_worst(verdicts)
    assert (len(best), len(worst)) == (min(MAX_BEST, count - count // 2), min(MAX_WORST, count // 2))
    assert not {id(v) for v in best} & {id(v) for v in worst}


def test_found_missed_and_false_have_their_colors(tmp_path: Path) -> None:
    record = make_record(tmp_path / "a.png", 3)
    cv2.imwrite(str(record.path), np.full((SIDE, SIDE, 3), 90, np.uint8))
    [one] = judge([record], [detect(record, 1, 1)], 0.5)
    image = draw_verdict(one, ["x"])
    assert image.shape == (SIDE, SIDE, 3)
    edges = [image[y, x] for x, y in ((15, 130), (55, 130), (95, 130), (230, 360))]
    assert [tuple(edge) for edge in edges] == [FOUND, MISSED, MISSED, FALSE]


def test_number_of_false_detections_drawn_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = make_record(tmp_path / "a.png", 1)
    cv2.imwrite(str(record.path), np.full((SIDE, SIDE, 3), 90, np.uint8))
    drawn: list[list[str]] = []
    monkeypatch.setattr(
        "training.report.verdicts.draw_colored", lambda image, boxes, colors, texts: drawn.append(texts) or image
    )
    draw_verdict(judge([record], [detect(record, 1, 300)], 0.5)[0], ["x"])
    assert drawn == [["false x 0.90"] * 10 + ["x 0.90"]]
