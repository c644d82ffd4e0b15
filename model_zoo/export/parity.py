"""Prove that an exported graph computes what its model computes, before anybody is served by it.

    trained form = deployed form = boxes and scores of the file     within the tolerance of the file's precision
    detections of the file = contract.nms of its boxes and scores   index by index

on seeded pictures, noise and drawn shapes, alone and in a batch whose images ask for different things, and for int8 on
pictures of its calibration too. Thresholds are set among the scores that occur, so that random weights are put to the
same proof as trained ones.

Boxes are compared by 1 - IoU, a share of what they cover: where a side is decoded by an exponential, its error grows as
the side does, and pixels would judge by the largest boxes alone. In float32 the worst of all predictions counts. Lower
precisions round every number of the network, and the worst of 25,200 predictions is then a matter of chance, mostly one
that no threshold lets through: there the mean over the best predictions of a picture counts.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats, aligned_iou, cxcywh_to_xyxy, xyxy_to_cxcywh
from model_zoo.contract.card import ModelCard, Precision
from model_zoo.contract.letterbox import Size
from model_zoo.contract.select import NMSThresholds, above_threshold, select
from model_zoo.detector import Detector, to_network
from model_zoo.export.errors import ExportError
from model_zoo.export.nms_graph import QUERY
from model_zoo.runtime.sessions import make_session

Pictures = NDArray[np.uint8]  # (B, H, W, 3) RGB
Predictions = tuple[Floats, Floats]  # boxes (B, N, 4), scores (B, N, C)


@dataclass(frozen=True)
class Tolerance:
    """Largest difference allowed: of scores, and of boxes as 1 - IoU.

    It is that of any prediction, or the mean over the `best` of each picture, by the model's own scores.
    """

    score: float
    box: float
    best: int | None = None

    def __str__(self) -> str:
        of = f" on the mean of the best {self.best} predictions" if self.best else ""
        return f"{self.score:g} and {self.box:g}{of}"


# docs/exporting.md has what was measured: sound files stay well below these, broken ones well above.
TOLERANCES: Mapping[Precision, Tolerance] = {
    "fp32": Tolerance(1e-4, 1e-3),
    "fp16": Tolerance(0.03, 0.03, best=100),
    "int8": Tolerance(0.1, 0.1, best=100),
}
SMALLEST_SIDE = 32  # pixels; smaller boxes are enlarged, or half a pixel would count for more than anybody sees
MAX_CALIBRATION = 4  # pictures of the calibration that are looked at


@dataclass(frozen=True)
class Difference:
    """Largest difference met, in the units of `Tolerance`."""

    score: float = 0.0
    box: float = 0.0

    def __str__(self) -> str:
        return f"scores within {self.score:.1e}, boxes within {self.box:.1e} (1 - IoU)"

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


def verify(
    detector: Detector,
    deployed: Detector,
    raw: onnx.ModelProto,
    end_to_end: onnx.ModelProto,
    calibration: Sequence[Pictures] = (),
) -> Report:
    """Compare two forms of the model and two forms of its graph; ExportError says where they disagree, with figures.

    `calibration`: pictures (1, H, W, 3) that the graph was quantized with.
    """
    card = ModelCard.from_metadata({entry.key: entry.value for entry in end_to_end.metadata_props})
    trained = copy.deepcopy(detector).eval()
    graph, tail = session(raw, card.precision), session(end_to_end, card.precision)
    report = Report()
    exact, allowed = TOLERANCES["fp32"], TOLERANCES[card.precision]
    for images in [*_batches(card), *calibration[:MAX_CALIBRATION]]:
        reference, predictions = _predict(deployed, images), _run(graph, {"images": images})
        deploy = _difference(_predict(trained, images), reference, exact)
        file = _difference(reference, predictions, allowed)
        _require("the deployed form and the trained form", deploy, exact)
        _require(f"the {card.precision} graph and the model", file, allowed)
        report |= Report(deploy, file) | _compare_detections(tail, card, images, predictions)
    return report


def session(model: onnx.ModelProto, precision: Precision = "fp32") -> ort.InferenceSession:
    """Open a model in ONNX Runtime on the CPU; int8 runs in the form that the engine uses."""
    return make_session(model.SerializeToString(), threads=torch.get_num_threads(), precision=precision)


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
        center = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(4, width // 3)), int(rng.integers(4, height // 3)))
        color = [int(value) for value in rng.integers(0, 256, 3)]
        cv2.ellipse(picture, center, axes, int(rng.integers(180)), 0, 360, color, thickness=-1)
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


def _difference(expected: Predictions, came: Predictions, as_in: Tolerance) -> Difference:
    """Compare predictions as a tolerance counts them; what is not finite differs without bound."""
    scores = np.abs(expected[1] - came[1]).max(axis=2)
    met = np.nan_to_num(np.stack([scores, _iou_distance(expected[0], came[0])]), nan=np.inf)  # (2, B, N)
    if as_in.best:
        finite = np.isfinite(came[1]).all()
        ranked = np.argsort(-expected[1].max(axis=2), axis=1, kind="stable")[:, : as_in.best]
        met = np.take_along_axis(met, ranked[None], axis=2).mean(axis=2) if finite else np.inf * np.ones((2, 1))
    return Difference(*met.reshape(2, -1).max(axis=1).tolist())


def _iou_distance(a: Floats, b: Floats) -> Floats:
    """Return 1 - IoU of boxes (..., 4) row by row."""
    with np.errstate(invalid="ignore", over="ignore"):  # of boxes that are not finite
        return 1 - aligned_iou(_with_min_side(a), _with_min_side(b))


def _with_min_side(boxes: Floats) -> Floats:
    """Return boxes about the same centers with sides of at least SMALLEST_SIDE, float64."""
    wide = xyxy_to_cxcywh(boxes.astype(np.float64))
    wide[..., 2:] = np.maximum(wide[..., 2:], SMALLEST_SIDE)
    return cxcywh_to_xyxy(wide)


def _require(what: str, met: Difference, allowed: Tolerance) -> None:
    if met.score > allowed.score or met.box > allowed.box:
        hint = "" if allowed.best is None else "; try another precision, or for int8 a higher --min-sqnr"
        raise ExportError(f"parity: {what} disagree: {met}; allowed are {allowed}; nothing was written{hint}")


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
            wanted = select(boxes, scores, NMSThresholds(threshold, iou, weight), below)
            _require_same(wanted, found[:count])
            compared += int(count)
    if not compared and _misses_the_best(tail, images, predictions):
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
        wanted = -np.sort(-above_threshold(scores, threshold, multi_label_below)[2])
        room = np.zeros_like(wanted)
        room[:count] = found[:count, 4]
        highest = max(highest, wanted[wanted > room * (1 + 1e-6)].max(initial=0.0))
    return float(highest)


def _misses_the_best(tail: ort.InferenceSession, images: Pictures, predictions: Predictions) -> bool:
    """Tell whether the best prediction of a picture is no candidate; where all score alike, any of them is the best."""
    rows, _ = _run(tail, _feeds(images, np.zeros(len(images)), 2.0, 0.0))
    return bool((rows[:, 0, 4] * (1 + 1e-6) < predictions[1].max(axis=(1, 2))).any())


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
