"""Compare the canvases of a model: AP, agreement with square canvases, and pixels.

    python -m benchmarks.canvases --repository models --model yolov5n --data coco_mini

Writes benchmarks/results/canvases.csv, or adds to it, a row for each kind of canvases.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import tyro

from benchmarks.cpu import describe_cpu
from model_zoo.contract import pipeline
from model_zoo.contract.boxes import pairwise_iou
from model_zoo.contract.detections import Detections
from model_zoo.contract.images import decode_image
from model_zoo.contract.letterbox import Size
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import Engine, EngineOptions
from model_zoo.runtime.open import open_engine
from training.data.dataset import Record
from training.data.open import open_dataset
from training.evaluate import coco
from training.evaluate.class_names import match_classes
from training.evaluate.evaluation import EvaluationProtocol

RESULTS: Final = Path(__file__).parent / "results" / "canvases.csv"
FIELDS: Final = ("model", "split", "images", "canvases", "ap", "ap50", "pixels", "agreement", "detections", "cpu")


def main(repository: Path, model: str, data: Path, split: str = "val", images: int = 1000) -> None:
    """Measure, print and add to the results.

    Args:
        repository: Folder of the repository.
        model: Name in the repository.
        data: Dataset.
        split: Split to evaluate on.
        images: Max images of the split.
    """
    engine = open_engine(Repository(repository).resolve(model), EngineOptions(provider="cpu", shapes="buckets"))
    card, dataset = engine.card, open_dataset(data)
    records = dataset.split(split).records[:images]
    kinds = {
        "square": [card.input_size],
        "few": pipeline.canvases(card),
        "all": pipeline.canvases(card, few=False),
    }
    class_ids = match_classes(card.class_names, dataset.class_names)
    found, pixels = detect(engine, records, kinds)
    for kind, detections in found.items():
        metrics = coco.score(dataset, records, [each.map_classes(class_ids) for each in detections]).metrics
        agreeing = [agree for pair in zip(found["square"], detections, strict=True) for agree in agreement(*pair)]
        values = (round(metrics.ap, 4), round(metrics.ap50, 4), round(pixels[kind] / pixels["square"], 3))
        share = round(sum(agreeing) / len(agreeing), 3)
        write([model, split, len(records), kind, *values, share, len(agreeing), describe_cpu()])


def detect(
    engine: Engine, records: Sequence[Record], kinds: Mapping[str, Sequence[Size]]
) -> tuple[dict[str, list[Detections]], dict[str, int]]:
    """Return the detections on each kind of canvases, and the pixels of these."""
    rules = EvaluationProtocol()
    query = pipeline.make_query(engine.card, score=rules.score, iou=rules.iou, distance_weight=rules.distance_weight)
    found: dict[str, list[Detections]] = {kind: [] for kind in kinds}
    pixels = dict.fromkeys(kinds, 0)
    for record in records:
        image = decode_image(record.path.read_bytes())
        for kind, sizes in kinds.items():
            canvas = pipeline.choose_canvas(engine.card, (image.shape[0], image.shape[1]), sizes)
            item = pipeline.preprocess(engine.card, image, canvas)
            rows, counts = engine.run(pipeline.collate([item], [query]))
            found[kind].append(pipeline.postprocess(rows[0], int(counts[0]), item.geometry, query))
            pixels[kind] += canvas[0] * canvas[1]
    return found, pixels


def agreement(expected: Detections, actual: Detections) -> list[bool]:
    """Return for each expected detection above 0.25 whether one of its class is at IoU 0.9 and within 0.05 in score."""
    shown = expected.scores > 0.25
    close = pairwise_iou(expected.boxes[shown], actual.boxes) > 0.9
    same = expected.class_ids[shown][:, None] == actual.class_ids[None]
    near = abs(expected.scores[shown][:, None] - actual.scores[None]) < 0.05
    return [bool(value) for value in (close & same & near).any(axis=1)]


def write(row: Sequence[object]) -> None:
    """Print a row and add it to the results."""
    print(*row, sep=", ", flush=True)
    is_new = not RESULTS.exists()
    with RESULTS.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([FIELDS, row] if is_new else [row])


if __name__ == "__main__":
    tyro.cli(main)
