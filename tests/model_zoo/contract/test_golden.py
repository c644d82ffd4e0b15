"""Golden sets: damaged ones are refused, and detections are compared within their tolerance."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from model_zoo.contract import golden
from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import PackageError
from model_zoo.contract.golden import GoldenCase, GoldenSet, Tolerance
from model_zoo.contract.repository import Repository

ROWS = tuple((50.0 * i, 10.0, 50.0 * i + 40, 60.0, 0.9 - 0.04 * i, i % 2) for i in range(20))
CASE = GoldenCase("1.png", (32, 32), 0.1, ROWS)
GOLDEN = GoldenSet((CASE,), 0.45, 1.0, Tolerance(0.02, 0.03, 0.1), "fp32", "ONNX Runtime")


def publish(repository: Repository, card: ModelCard, model: Path, text: str, folder: Path) -> golden.Package:
    cv2.imwrite(str(folder / "1.png"), np.zeros((32, 32, 3), np.uint8))
    (folder / "expected.json").write_text(text)
    files = {f"golden/{name}": folder / name for name in ("1.png", "expected.json")}
    return repository.publish(card, {"model.onnx": model, **files})


def test_set_is_read_as_it_was_written(repository: Repository, card: ModelCard, model: Path, tmp_path: Path) -> None:
    package = publish(repository, card, model, GOLDEN.to_json(), tmp_path)
    assert golden.read(package) == GOLDEN
    assert golden.read_image(package, CASE).shape == (32, 32, 3)
    package.verify()
    assert {file.name for file in package.files} > {"golden/1.png", "golden/expected.json"}
    (package.path / "golden" / "1.png").write_bytes(b"other" * 20)
    with pytest.raises(PackageError, match=r"golden/1\.png is damaged"):
        package.verify()


def test_package_without_golden_images_has_no_set(repository: Repository, card: ModelCard, model: Path) -> None:
    assert golden.read(repository.publish(card, {"model.onnx": model})) is None


BAD_SETS: dict[str, tuple[Callable[[dict], object], str]] = {
    "no cases": (lambda d: d["cases"].clear(), "cases: expected 1 to 32; got 0"),
    "too many cases": (lambda d: d.update(cases=d["cases"] * 33), "cases: expected 1 to 32; got 33"),
    "unknown image": (lambda d: d["cases"][0].update(image="2.png"), r"cases\[0\]\.image: expected one of the images"),
    "climbing image": (lambda d: d["cases"][0].update(image="../card.json"), r"cases\[0\]\.image: expected one of"),
    "odd canvas": (
        lambda d: d["cases"][0].update(canvas=[31, 32]),
        r"canvas: expected multiples of 32; got \[31, 32\]",
    ),
    "unknown class": (lambda d: d["cases"][0]["detections"][0].__setitem__(5, 99), "class id below .*; got 99"),
    "short row": (lambda d: d["cases"][0]["detections"][0].pop(), "expected a list of 6"),
    "score of 2": (lambda d: d["cases"][0].update(score=2), r"cases\[0\]\.score: expected .* below 1; got 2"),
    "iou of 5": (lambda d: d.update(iou=5), "iou: expected a number from 0 to 1; got 5"),
    "distance weight of -1": (lambda d: d.update(distance_weight=-1), "distance_weight: expected .* got -1"),
    "tolerance of 1": (lambda d: d["tolerance"].update(share=1), r"tolerance\.share: expected .* below 1; got 1"),
    "another schema": (lambda d: d.update(schema_version=2), "expected schema_version 1; got 2"),
    "missing field": (lambda d: d.pop("iou"), "iou: expected a finite number; the field is missing"),
}


@pytest.mark.parametrize("case", BAD_SETS)
def test_invalid_set_is_refused_with_its_field(
    repository: Repository, card: ModelCard, model: Path, tmp_path: Path, case: str
) -> None:
    change, message = BAD_SETS[case]
    document = json.loads(GOLDEN.to_json())
    change(document)
    package = publish(repository, card, model, json.dumps(document), tmp_path)
    with pytest.raises(PackageError, match=rf"^{card.name}@1: golden/expected\.json: .*{message}"):
        golden.read(package)


def actual(change: Callable[[np.ndarray], np.ndarray] = lambda rows: rows) -> Detections:
    rows = change(np.asarray(ROWS))
    return Detections(rows[:, :4].astype(np.float32), rows[:, 4].astype(np.float32), rows[:, 5].astype(np.int64))


def scaled(rows: np.ndarray, column: slice | int, factor: float) -> np.ndarray:
    rows = rows.copy()
    rows[:, column] *= factor
    return rows


def shifted(rows: np.ndarray, pixels: float) -> np.ndarray:
    rows = rows.copy()
    rows[:, :4] += pixels
    return rows


AGREEING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "same": lambda rows: rows,
    "another order": lambda rows: rows[::-1],
    "scores within 2 %": lambda rows: scaled(rows, 4, 0.985),
    "boxes within an IoU of 0.97": lambda rows: shifted(rows, 0.2),
    "two of twenty missing": lambda rows: rows[2:],
    "two new": lambda rows: np.concatenate([rows, shifted(rows[:2], 500)]),
    "more in reach of the threshold": lambda rows: np.concatenate([rows, [[0, 0, 9, 9, 0.1001, 0]] * 9]),
}
DIFFERENT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "nothing": lambda rows: rows[:0],
    "scores 5 % off": lambda rows: scaled(rows, 4, 0.95),
    "shifted boxes": lambda rows: shifted(rows, 2),
    "scaled boxes": lambda rows: scaled(rows, slice(0, 4), 1.1),
    "another class": lambda rows: np.concatenate([rows[:, :5], 1 - rows[:, 5:]], axis=1),
    "every box twice": lambda rows: np.repeat(rows, 2, axis=0),
    "boxes that are not numbers": lambda rows: scaled(rows, slice(0, 4), np.nan),
    "scores that are not numbers": lambda rows: scaled(rows, 4, np.nan),
    "classes beyond the last": lambda rows: np.add(rows, [0, 0, 0, 0, 0, 1000]),
}


@pytest.mark.parametrize("case", AGREEING)
def test_detections_within_the_tolerance_agree(card: ModelCard, case: str) -> None:
    assert golden.compare(GOLDEN, CASE, actual(AGREEING[case]), card) is None


@pytest.mark.parametrize("case", DIFFERENT)
def test_other_detections_are_described(card: ModelCard, case: str) -> None:
    difference = golden.compare(GOLDEN, CASE, actual(DIFFERENT[case]), card)
    assert difference
    assert "1.png on 32 x 32: expected the 20 detections of ONNX Runtime, with scores within 2%" in difference


def test_message_has_an_expected_and_an_actual_detection(card: ModelCard) -> None:
    difference = golden.compare(GOLDEN, CASE, actual(lambda rows: shifted(rows, 8)), card)
    assert difference
    label = card.class_names[0]
    assert f"expected {label} 0.9 at [0.0, 10.0, 40.0, 60.0]; got {label} 0.9 at [8.0, 18.0, 48.0, 68.0]" in difference


def test_small_boxes_may_differ_by_half_a_pixel(card: ModelCard) -> None:
    rows = ((10.0, 10.0, 12.0, 12.0, 0.9, 0),)
    case = replace(CASE, detections=rows)
    moved = np.add(rows, [0.3, 0.0, 0.3, 0, 0, 0])
    assert golden.compare(GOLDEN, case, actual(lambda _: moved), card) is None
