"""Evaluate a model on a split: detect exactly as it is served, then compute COCO's metrics.

Usage:

    images = EvaluationImages(split.records, card)        # read ahead of the network, cached if they fit
    evaluation = evaluate(card, run, dataset, images)     # `run` of an engine, or of a network in torch
    evaluation = evaluate_detector(detector, dataset, EvaluationImages(split.records, build_card(detector)))
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch

from model_zoo.contract import pipeline
from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections
from model_zoo.contract.letterbox import Size
from model_zoo.contract.pipeline import ModelInput, Run, read_input
from model_zoo.detector import Detector
from model_zoo.export.card import build_card
from model_zoo.runtime.base import EngineOptions
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


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Preprocessed images of one canvas size."""

    items: list[ModelInput] = field(default_factory=list)
    """The images."""
    indices: list[int] = field(default_factory=list)
    """Their positions among the records."""


class EvaluationImages:
    """Preprocessed images of a split in batches of one canvas size, read by threads ahead of the network."""

    def __init__(
        self,
        records: Sequence[Record],
        card: ModelCard,
        batch: int = 16,
        *,
        canvases: Sequence[Size] | None = None,
        exact: bool = False,
    ) -> None:
        """Read images as the server does: onto `canvases`, by default those of the card, and large JPEGs reduced.

        If `exact`, all images are decoded at full size.
        """
        self.records, self._card, self._batch, self._exact = records, card, batch, exact
        self._canvases = EngineOptions().canvases(card) if canvases is None else canvases
        height, width = card.input_size
        self._fits_cache = len(records) * height * width * 3 <= MAX_CACHE_BYTES
        self._cache: list[ImageBatch] = []

    def __iter__(self) -> Iterator[ImageBatch]:
        """Iterate over the batches. With one canvas, they have the order of the records."""
        if self._cache:
            yield from self._cache
            return
        batches = []
        for batch in self._load():
            if self._fits_cache:
                batches.append(batch)
            yield batch
        self._cache = batches

    def _load(self) -> Iterator[ImageBatch]:
        """Collect the images by canvas, and yield each batch as soon as it is full."""
        open_batches: dict[Size, ImageBatch] = {}
        for index, item in enumerate(self._read_ahead()):
            canvas = item.geometry.canvas
            batch = open_batches.setdefault(canvas, ImageBatch())
            batch.items.append(item)
            batch.indices.append(index)
            if len(batch.items) == self._batch:
                yield open_batches.pop(canvas)
        yield from open_batches.values()

    def _read_ahead(self) -> Iterator[ModelInput]:
        with ThreadPoolExecutor(DECODE_THREADS) as pool:
            pending = deque[Future[ModelInput]]()
            for record in self.records:
                pending.append(pool.submit(self._read, record))
                if len(pending) > DECODE_THREADS * self._batch:
                    yield pending.popleft().result()
            for future in pending:
                yield future.result()

    def _read(self, record: Record) -> ModelInput:
        return read_input(self._card, record.path.read_bytes(), self._canvases, exact=self._exact)


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
    found: dict[int, Detections] = {}
    for batch in images:
        results = pipeline.detect_inputs(run, batch.items, query)
        found |= {i: result.map_classes(class_ids) for i, result in zip(batch.indices, results, strict=True)}
        progress(len(results))
    detections = [found[index] for index in range(len(found))]
    return Evaluation(images.records, detections, coco.score(dataset, images.records, detections))


def evaluate_detector(
    detector: Detector,
    dataset: Dataset,
    images: EvaluationImages,
    protocol: EvaluationProtocol = EvaluationProtocol(),
    progress: Progress = lambda _: None,
    precision: torch.dtype = torch.float32,
) -> Evaluation:
    """Evaluate the deployed form of a detector, on its own device and at its own input size.

    The detector itself is not changed. The network computes in `precision`, and decoding and NMS in float32.
    """
    card = build_card(detector)
    return evaluate(card, network_run(detector, card, precision), dataset, images, protocol, progress)
