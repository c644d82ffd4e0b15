"""Truth beside detections: `python -m examples.ui_elements.visualize MODEL.onnx --data DIR --name test --output DIR`.

Writes the best and the worst pictures of a test split, each of another design system: `<name>-good-1.jpg`,
`<name>-bad-1.jpg`, ... with what there is on the left and what a request without options finds on the right.
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

from examples.ui_elements.errors import told
from model_zoo.contract import pipeline
from model_zoo.contract.boxes import pairwise_iou
from model_zoo.contract.detections import Detections
from model_zoo.contract.drawing import draw_boxes
from model_zoo.contract.images import decode_image
from training.data.dataset import Record
from training.data.open import open_dataset
from training.evaluate.source import open_source

FEWEST = 12  # elements: on emptier pages a good or bad result means little
WIDEST = 1600  # pixels of both pictures together
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 82]


class Seen(NamedTuple):
    """A picture, what was found on it, and F1 at IoU 0.5."""

    record: Record
    found: Detections
    f1: float


def f1_score(record: Record, found: Detections) -> float:
    """Return the harmonic mean of precision and recall; detections, best first, take what they overlap most."""
    free = np.ones(len(record.boxes), bool)
    overlaps = pairwise_iou(found.boxes, record.boxes)
    for row, class_id in zip(overlaps, found.class_ids, strict=True):
        row = np.where(free & (record.class_ids == class_id), row, 0)
        if row.max(initial=0) >= 0.5:
            free[row.argmax()] = False
    return float(2 * (~free).sum() / max(len(found) + len(free), 1))


def look(model: str, data: Path) -> Iterator[Seen]:
    """Detect on the pictures of the test split that have enough on them."""
    source = open_source(model, data)
    query = pipeline.make_query(source.card)
    records = [r for r in open_dataset(data).split("test").records if len(r.boxes) >= FEWEST]
    for record in tqdm(records, unit="image", leave=False, disable=None):
        image = decode_image(record.path.read_bytes())
        [found] = pipeline.detect(source.card, source.run, [image], query)
        yield Seen(record, found, f1_score(record, found))


def choose(ordered: list[Seen], systems: dict[str, str], count: int) -> list[Seen]:
    """Take the first `count`, each of another design system while there are others."""
    firsts = {systems[seen.record.path.name]: seen for seen in reversed(ordered)}
    chosen = sorted(firsts.values(), key=ordered.index)
    return [*chosen, *(seen for seen in ordered if seen not in chosen)][:count]


def side_by_side(seen: Seen, names: tuple[str, ...]) -> NDArray[np.uint8]:
    """Draw truth and detections (H, W, 3) RGB."""
    image = decode_image(seen.record.path.read_bytes())
    labels = [names[i] for i in seen.record.class_ids]
    found = [f"{names[i]} {score:.2f}" for i, score in zip(seen.found.class_ids, seen.found.scores, strict=True)]
    truth = draw_boxes(image, seen.record.boxes, seen.record.class_ids, labels)
    detected = draw_boxes(image, seen.found.boxes, seen.found.class_ids, found)
    both = np.hstack((truth, np.full((len(image), 8, 3), 128, np.uint8), detected))
    scale = min(1.0, WIDEST / both.shape[1])
    return cv2.resize(both, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)


def show(model: tyro.conf.Positional[str], data: Path, name: str, output: Path, count: int = 2) -> int:
    """Draw truth beside detections on the best and the worst pictures of a test split.

    Args:
        model: An .onnx file with a card inside.
        data: Dataset with a test split.
        name: What the names of the pictures begin with.
        output: Folder of the pictures.
        count: Good ones, and bad ones.
    """
    return told(lambda: draw_extremes(model, data, name, output, count))


def draw_extremes(model: str, data: Path, name: str, output: Path, count: int) -> None:
    """Look at all pictures, then draw the best and the worst."""
    names = open_dataset(data).class_names
    ordered = sorted(look(model, data), key=lambda seen: -seen.f1)
    document = json.loads((data / "annotations" / "test.json").read_text(encoding="utf-8"))
    systems = {image["file_name"]: image["page"]["kit"] for image in document["images"]}
    output.mkdir(parents=True, exist_ok=True)
    for kind, candidates in (("good", ordered), ("bad", ordered[::-1])):
        for number, seen in enumerate(choose(candidates, systems, count), 1):
            path = output / f"{name}-{kind}-{number}.jpg"
            cv2.imwrite(str(path), side_by_side(seen, tuple(names))[..., ::-1], QUALITY)
            print(f"{path}: {seen.record.path.name}, {systems[seen.record.path.name]}, F1 {seen.f1:.2f}")
    print(f"median F1 of {len(ordered)} pictures: {np.median([seen.f1 for seen in ordered]):.2f}")


if __name__ == "__main__":
    sys.exit(tyro.cli(show, prog="python -m examples.ui_elements.visualize"))
