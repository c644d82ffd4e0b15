"""Evaluate a model on a split: detect exactly as it is served, then compute COCO's metrics.

Usage:

    images = EvaluationImages(split.records, card)        # decoded ahead of the network, cached if they fit
    evaluation = evaluate(card, run, dataset, images)     # `run` of an engine, or of a network in torch
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
from training.evaluate.class_names import match_classes
from training.evaluate.coco import CocoResult, Metrics
from training.evaluate.network import network_run

DECODE_THREADS = 2
MAX_CACHE_BYTES = 2**28  # preprocessed images that are kept from one evaluation to the next
Progress = Callable[[int], Any]


@dataclass(frozen=True)
class EvaluationProtocol:
    """Thresholds of all images, and how classes are matched.

    COCO's evaluation needs low scores and, by convention, plain IoU-NMS.
    """

    score: float = 0.001
    """Min score of a detection."""
    iou: float = 0.6
    """IoU above which NMS suppresses a box."""
    distance_weight: float = 0.0
    """1 for DIoU-NMS, 0 for plain IoU-NMS."""
    ignore_case: bool = False
    """Whether class names match that differ in case, blanks, hyphens or underscores."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of evaluating a model on a split."""

    records: Sequence[Record]
    """Records of the split."""
    detections: Sequence[Detections]
    """Detections of each record, in the dataset's class ids."""
    coco: CocoResult
    """COCO's metrics and precision curves."""

    @property
    def metrics(self) -> Metrics:
        """COCO's metrics."""
        return self.coco.metrics


class EvaluationImages:
    """Preprocessed images of a split in batches, decoded by threads ahead of the network."""

    def __init__(self, records: Sequence[Record], card: ModelCard, batch: int = 16) -> None:
        self.records, self._card, self._batch = records, card, batch
        height, width = card.input_size
        self._fits_cache = len(records) * height * width * 3 <= MAX_CACHE_BYTES
        self._cache: list[list[ModelInput]] = []

    def __iter__(self) -> Iterator[list[ModelInput]]:
        """Iterate over the batches in the order of the records."""
        if self._cache:
            yield from self._cache
            return
        batches = []
        for items in self._load():
            if self._fits_cache:
                batches.append(items)
            yield items
        self._cache = batches

    def _load(self) -> Iterator[list[ModelInput]]:
        with ThreadPoolExecutor(DECODE_THREADS) as pool:
            pending = deque[list[Future[ModelInput]]]()
            for start in range(0, len(self.records), self._batch):
                records = self.records[start : start + self._batch]
                pending.append([pool.submit(self._preprocess, record) for record in records])
                if len(pending) > DECODE_THREADS:
                    yield [future.result() for future in pending.popleft()]
            for futures in pending:
                yield [future.result() for future in futures]

    def _preprocess(self, record: Record) -> ModelInput:
        return pipeline.preprocess(self._card, decode_image(record.path.read_bytes()))


def evaluate(
    card: ModelCard,
    run: Run,
    dataset: Dataset,
    images: EvaluationImages,
    protocol: EvaluationProtocol = EvaluationProtocol(),
    progress: Progress = lambda _: None,
) -> Evaluation:
    """Detect on all images as the service does and score the detections.

    Args:
        card: Card of the model.
        run: Function that runs a batch.
        dataset: Dataset of the images; its classes are matched by label.
        images: Images to detect on, preprocessed for `card`.
        protocol: Thresholds, and how classes are matched.
        progress: Called after each batch with its number of images.

    Raises:
        LineageError: model and dataset share no class.
    """
    class_ids = match_classes(card.class_names, dataset.class_names, protocol.ignore_case)
    query = pipeline.make_query(card, score=protocol.score, iou=protocol.iou, distance_weight=protocol.distance_weight)
    detections: list[Detections] = []
    for items in images:
        rows, counts = run(pipeline.collate(items, [query] * len(items)))
        for image_rows, count, item in zip(rows, counts, items, strict=True):
            result = pipeline.postprocess(image_rows, int(count), item.geometry, query)
            detections.append(result.map_classes(class_ids))
        progress(len(items))
    return Evaluation(images.records, detections, coco.score(dataset, images.records, detections))


def evaluate_detector(
    detector: Detector,
    dataset: Dataset,
    images: EvaluationImages,
    protocol: EvaluationProtocol = EvaluationProtocol(),
    progress: Progress = lambda _: None,
) -> Evaluation:
    """Evaluate the deployed form of a detector, on its own device and at its own input size.

    The detector itself is not changed.
    """
    card = build_card(detector)
    return evaluate(card, network_run(detector, card), dataset, images, protocol, progress)
