"""Prove that an exported graph computes what its model computes, before anybody is served by it.

    trained form = deployed form = boxes and scores of the file     within the tolerance of the file's precision
    detections of the file = contract.nms of its boxes and scores   index by index

on seeded pictures, noise and drawn shapes, alone and in a batch whose images ask for different things. Thresholds are
set among the scores that occur, so that random weights are put to the same proof as trained ones.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats
from model_zoo.contract.card import ModelCard, Precision
from model_zoo.contract.letterbox import Size
from model_zoo.contract.select import Asked, alive, select
from model_zoo.detector import Detector, to_network
from model_zoo.export.errors import ExportError
from model_zoo.export.nms_graph import QUERY

Pictures = NDArray[np.uint8]  # (B, H, W, 3) RGB
Predictions = tuple[Floats, Floats]  # boxes (B, N, 4), scores (B, N, C)


@dataclass(frozen=True)
class Tolerance:
    """Largest difference allowed: of scores, and of a box's corners as a share of its larger side (at least 32 px)."""

    score: float
    box: float


TOLERANCES: Mapping[Precision, Tolerance] = {"fp32": Tolerance(1e-4, 1e-4), "fp16": Tolerance(0.03, 0.03)}


@dataclass(frozen=True)
class Difference:
    """Largest difference met, in the units of `Tolerance`."""

    score: float = 0.0
    box: float = 0.0

    def __str__(self) -> str:
        return f"scores within {self.score:.1e}, boxes within {self.box:.1e} of their size"

    def __or__(self, other: Difference) -> Difference:
        return Difference(max(self.score, other.score), max(self.box, other.box))


@dataclass(frozen=True)
class Report:
    """What was met: differences, detections compared, and the highest score that found no room among the candidates."""

    deploy: Difference = Difference()
    file: Difference = Difference()
    detections: int = 0
    lost: float = 0.0

    def __or__(self, other: Report) -> Report:
        return Report(
            self.deploy | other.deploy,
            self.file | other.file,
            self.detections + other.detections,
            max(self.lost, other.lost),
        )


def verify(detector: Detector, deployed: Detector, raw: onnx.ModelProto, end_to_end: onnx.ModelProto) -> Report:
    """Compare two forms of the model and two forms of its graph; ExportError says where they disagree, with figures."""
    card = ModelCard.from_metadata({entry.key: entry.value for entry in end_to_end.metadata_props})
    trained, graph, tail = copy.deepcopy(detector).eval(), session(raw), session(end_to_end)
    report = Report()
    for images in _batches(card):
        reference, predictions = _predict(deployed, images), _run(graph, {"images": images})
        deploy, file = _difference(_predict(trained, images), reference), _difference(reference, predictions)
        _require("the deployed form and the trained form", deploy, TOLERANCES["fp32"])
        _require(f"the {card.precision} graph and the model", file, TOLERANCES[card.precision])
        report |= Report(deploy, file) | _compare_detections(tail, card, images, predictions)
    return report


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    """Open a model in ONNX Runtime on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def pictures(size: Size, count: int, seed: int = 0) -> Pictures:
    """Draw seeded RGB pictures (count, H, W, 3): shapes on a gradient, every third one noise."""
    rng = np.random.default_rng(seed)
    return np.stack([_noise(rng, size) if i % 3 == 2 else _shapes(rng, size) for i in range(count)])


def _noise(rng: np.random.Generator, size: Size) -> Pictures:
    return rng.integers(0, 256, (*size, 3), dtype=np.uint8)


def _shapes(rng: np.random.Generator, size: Size) -> Pictures:
    height, width = size
    canvas = np.linspace(rng.integers(0, 256, 3), rng.integers(0, 256, 3), width).astype(np.uint8)
    picture = np.ascontiguousarray(np.broadcast_to(canvas, (height, width, 3)))
    for _ in range(12):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(4, width // 3)), int(rng.integers(4, height // 3)))
        colour = [int(value) for value in rng.integers(0, 256, 3)]
        cv2.ellipse(picture, centre, axes, int(rng.integers(180)), 0, 360, colour, thickness=-1)
    return picture


def _batches(card: ModelCard) -> list[Pictures]:
    """One picture of the card's size, three of it too or, where sizes are free, of a smaller one that is not square."""
    small = (8 * card.stride, 10 * card.stride) if card.dynamic_size else card.input_size
    return [pictures(card.input_size, 1), pictures(small, 3, seed=1)]


@torch.no_grad()
def _predict(detector: Detector, images: Pictures) -> Predictions:
    boxes, scores = detector.forward_decoded(to_network(torch.from_numpy(images), detector.input_spec))
    return boxes.numpy(), scores.numpy()


def _run(model: ort.InferenceSession, feeds: Mapping[str, NDArray[Any]]) -> Predictions:
    first, second = model.run(None, dict(feeds))
    return first, second


def _difference(expected: Predictions, came: Predictions) -> Difference:
    """Compare all predictions; what is not finite differs without bound."""
    side = np.maximum((expected[0][..., 2:] - expected[0][..., :2]).max(axis=-1, keepdims=True), 32)
    scores, boxes = np.abs(expected[1] - came[1]), np.abs(expected[0] - came[0]) / side
    return Difference(*(float(np.nan_to_num(d, nan=np.inf).max()) for d in (scores, boxes)))


def _require(what: str, met: Difference, allowed: Tolerance) -> None:
    if met.score > allowed.score or met.box > allowed.box:
        raise ExportError(
            f"parity: {what} disagree: {met}; allowed are {allowed.score:g} and {allowed.box:g}; nothing was written"
        )


def _compare_detections(
    tail: ort.InferenceSession, card: ModelCard, images: Pictures, predictions: Predictions
) -> Report:
    """Compare the graph's detections with `contract.nms` on its predictions, every image at a threshold of its own."""
    below = card.thresholds.multi_label_below
    lost = max(_lost(tail, images, predictions, threshold, below) for threshold in {0.0, below} - {1.0})
    ranked = -np.sort(-predictions[1].reshape(len(images), -1))
    compared = 0
    for turn, (iou, weight) in enumerate(((0.45, 1.0), (0.65, 0.0), (0.3, 0.5))):
        ranks = [min((10, 100, 1000)[(turn + i) % 3], ranked.shape[1] - 1) for i in range(len(images))]
        thresholds = np.maximum(ranked[np.arange(len(images)), ranks], lost)
        rows, counts = _run(tail, _feeds(images, thresholds, iou, weight))
        for boxes, scores, threshold, found, count in zip(*predictions, thresholds, rows, counts, strict=True):
            wanted = select(boxes, scores, Asked(threshold, iou, weight), below)
            _require_same(wanted, found[:count])
            compared += int(count)
    if not compared:
        raise ExportError(
            f"parity: the candidates miss the best predictions, up to score {lost:g}; nothing was written"
        )
    return Report(detections=compared, lost=lost)


def _lost(
    tail: ort.InferenceSession, images: Pictures, predictions: Predictions, threshold: float, multi_label_below: float
) -> float:
    """Return the highest score that finds no room among the candidates: a run that suppresses nothing lists them."""
    rows, counts = _run(tail, _feeds(images, np.full(len(images), threshold), 2.0, 0.0))
    highest = 0.0
    for scores, found, count in zip(predictions[1], rows, counts, strict=True):
        wanted = -np.sort(-alive(scores, threshold, multi_label_below)[2])
        room = np.zeros_like(wanted)
        room[:count] = found[:count, 4]
        highest = max(highest, wanted[wanted > room * (1 + 1e-6)].max(initial=0.0))
    return float(highest)


def _feeds(images: Pictures, thresholds: Floats, iou: float, weight: float) -> dict[str, NDArray[Any]]:
    asked = np.broadcast_arrays(thresholds, iou, weight)
    return {"images": images} | dict(zip(QUERY, (value.astype(np.float32) for value in asked), strict=True))


def _require_same(wanted: Floats, found: Floats) -> None:
    if wanted.shape == found.shape and np.allclose(wanted, found, rtol=1e-5, atol=1e-5):
        return
    raise ExportError(
        f"parity: expected the {len(wanted)} detections of the contract's NMS; the graph gives {len(found)} or others; "
        "nothing was written"
    )
