"""Evaluate a detector, a package or an exported file on a split: the way it is served, then COCO's metrics.

photos = EvaluationImages(split.records, card)                 # prepared beside the network, kept where they are few
evaluation = evaluate(card, run, dataset, photos)    # `run` is ONNX Runtime's of a file
evaluation = evaluate_detector(detector, dataset, EvaluationImages(split.records, build_card(detector)))
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from model_zoo.contract import pipeline
from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections
from model_zoo.contract.images import decode_image
from model_zoo.contract.pipeline import ModelInput, Run
from model_zoo.detector import Detector
from model_zoo.export.card import build_card
from training.data.dataset import Dataset, Record
from training.evaluate import coco
from training.evaluate.network import network_run

THREADS = 2
ROOM = 2**28  # bytes of prepared images that are kept from one evaluation to the next
Progress = Callable[[int], Any]


@dataclass(frozen=True)
class Protocol:
    """What is asked of every image: COCO's evaluation wants low scores and, by habit, plain IoU-NMS."""

    score: float = 0.001
    iou: float = 0.6
    distance_weight: float = 0.0


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found on every record, in the dataset's class ids, and what it is worth."""

    records: Sequence[Record]
    detections: Sequence[Detections]
    scored: coco.Scored

    @property
    def metrics(self) -> coco.Metrics:
        """COCO's numbers."""
        return self.scored.metrics


class EvaluationImages:
    """The images of a split as a model sees them, in batches; decoded by threads ahead of the network."""

    def __init__(self, records: Sequence[Record], card: ModelCard, batch: int = 16) -> None:
        self.records, self._card, self._batch = records, card, batch
        height, width = card.input_size
        self._keeps = len(records) * height * width * 3 <= ROOM
        self._kept: list[list[ModelInput]] = []

    def __iter__(self) -> Iterator[list[ModelInput]]:
        """Go through the batches, in the order of the records."""
        if self._kept:
            yield from self._kept
            return
        seen = []
        for items in self._prepared():
            if self._keeps:
                seen.append(items)
            yield items
        self._kept = seen

    def _prepared(self) -> Iterator[list[ModelInput]]:
        with ThreadPoolExecutor(THREADS) as pool:
            ahead = deque[list[Future[ModelInput]]]()
            for start in range(0, len(self.records), self._batch):
                records = self.records[start : start + self._batch]
                ahead.append([pool.submit(self._prepare, record) for record in records])
                if len(ahead) > THREADS:
                    yield [future.result() for future in ahead.popleft()]
            for futures in ahead:
                yield [future.result() for future in futures]

    def _prepare(self, record: Record) -> ModelInput:
        return pipeline.preprocess(self._card, decode_image(record.path.read_bytes()))


def evaluate(
    card: ModelCard,
    run: Run,
    dataset: Dataset,
    photos: EvaluationImages,
    protocol: Protocol = Protocol(),
    progress: Progress = lambda _: None,
) -> Evaluation:
    """Detect on all photos as the service does, and score it; `progress` is told how many images were done."""
    class_ids = coco.match_classes(card.class_names, dataset)
    query = pipeline.make_query(card, score=protocol.score, iou=protocol.iou, distance_weight=protocol.distance_weight)
    detections: list[Detections] = []
    for items in photos:
        rows, counts = run(pipeline.collate(items, [query] * len(items)))
        found = zip(rows, counts, items, strict=True)
        detections += [pipeline.postprocess(r, int(n), item.geometry, query).renamed(class_ids) for r, n, item in found]
        progress(len(items))
    return Evaluation(photos.records, detections, coco.score(dataset, photos.records, detections))


def evaluate_detector(
    detector: Detector,
    dataset: Dataset,
    photos: EvaluationImages,
    protocol: Protocol = Protocol(),
    progress: Progress = lambda _: None,
) -> Evaluation:
    """Evaluate the deployed form of a detector, on its own device and at its own input size; it stays as it is."""
    card = build_card(detector)
    return evaluate(card, network_run(detector, card), dataset, photos, protocol, progress)
