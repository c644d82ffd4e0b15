"""Draw ground truth next to detections.

    python -m examples.ui_elements.visualize MODEL.onnx --data DIR --name test --output DIR

Writes the best and the worst images of a test split, each of another design system: `<name>-good-1.jpg`,
`<name>-bad-1.jpg` and so on. Ground truth is on the left, detections with default thresholds are on the right.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from examples.ui_elements.errors import run_main
from model_zoo.contract import pipeline
from model_zoo.contract.boxes import pairwise_iou
from model_zoo.contract.detections import Detections
from model_zoo.contract.drawing import draw_boxes
from model_zoo.contract.images import decode_image
from training.data.dataset import Record
from training.data.open import open_dataset
from training.evaluate.source import open_source

MIN_ELEMENTS = 12  # F1 on fewer elements is too noisy to rank
MAX_WIDTH = 1600  # pixels of both images together
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 82]


class Result(NamedTuple):
    """Detections on one image."""

    record: Record
    """The image with its ground truth."""

    detections: Detections
    """Detections with default thresholds."""

    f1: float
    """F1 at IoU 0.5."""


def f1_score(record: Record, detections: Detections) -> float:
    """Return F1 at IoU 0.5. Detections, best first, match the free object that they overlap most."""
    free = np.ones(len(record.boxes), bool)
    overlaps = pairwise_iou(detections.boxes, record.boxes)
    for row, class_id in zip(overlaps, detections.class_ids, strict=True):
        row = np.where(free & (record.class_ids == class_id), row, 0)
        if row.max(initial=0) >= 0.5:
            free[row.argmax()] = False
    return float(2 * (~free).sum() / max(len(detections) + len(free), 1))


def detect_split(model: str, data: Path) -> Iterator[Result]:
    """Detect on the images of the test split that have at least `MIN_ELEMENTS` elements."""
    source = open_source(model, data)
    query = pipeline.make_query(source.card)
    records = [r for r in open_dataset(data).split("test").records if len(r.boxes) >= MIN_ELEMENTS]
    for record in tqdm(records, unit="image", leave=False, disable=None):
        image = decode_image(record.path.read_bytes())
        [detections] = pipeline.detect(source.card, source.run, [image], query)
        yield Result(record, detections, f1_score(record, detections))


def pick_results(ordered: list[Result], systems: dict[str, str], count: int) -> list[Result]:
    """Return the first `count` results, from different design systems if possible."""
    firsts = {systems[result.record.path.name]: result for result in reversed(ordered)}
    chosen = sorted(firsts.values(), key=ordered.index)
    return [*chosen, *(result for result in ordered if result not in chosen)][:count]


def side_by_side(result: Result, names: tuple[str, ...]) -> NDArray[np.uint8]:
    """Draw ground truth and detections into one image (H, W, 3) RGB."""
    image = decode_image(result.record.path.read_bytes())
    labels = [names[i] for i in result.record.class_ids]
    scored = [
        f"{names[i]} {score:.2f}"
        for i, score in zip(result.detections.class_ids, result.detections.scores, strict=True)
    ]
    truth = draw_boxes(image, result.record.boxes, result.record.class_ids, labels)
    detected = draw_boxes(image, result.detections.boxes, result.detections.class_ids, scored)
    both = np.hstack((truth, np.full((len(image), 8, 3), 128, np.uint8), detected))
    scale = min(1.0, MAX_WIDTH / both.shape[1])
    return cv2.resize(both, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)


def main(model: tyro.conf.Positional[str], data: Path, name: str, output: Path, count: int = 2) -> int:
    """Draw ground truth next to detections on the best and the worst images of a test split.

    Args:
        model: An .onnx file with a card inside.
        data: Dataset with a test split.
        name: Prefix of the file names.
        output: Folder of the images.
        count: Number of good images, and of bad ones.
    """
    return run_main(lambda: draw_extremes(model, data, name, output, count))


def draw_extremes(model: str, data: Path, name: str, output: Path, count: int) -> None:
    """Detect on all images, then draw the best and the worst."""
    names = open_dataset(data).class_names
    ordered = sorted(detect_split(model, data), key=lambda result: -result.f1)
    document = json.loads((data / "annotations" / "test.json").read_text(encoding="utf-8"))
    systems = {image["file_name"]: image["page"]["kit"] for image in document["images"]}
    output.mkdir(parents=True, exist_ok=True)
    for kind, candidates in (("good", ordered), ("bad", ordered[::-1])):
        for number, result in enumerate(pick_results(candidates, systems, count), 1):
            path = output / f"{name}-{kind}-{number}.jpg"
            cv2.imwrite(str(path), side_by_side(result, tuple(names))[..., ::-1], QUALITY)
            print(f"{path}: {result.record.path.name}, {systems[result.record.path.name]}, F1 {result.f1:.2f}")
    print(f"median F1 of {len(ordered)} images: {np.median([result.f1 for result in ordered]):.2f}")


if __name__ == "__main__":
    sys.exit(tyro.cli(main, prog="python -m examples.ui_elements.visualize"))
