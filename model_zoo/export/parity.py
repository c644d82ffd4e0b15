"""Verify that an exported graph computes what its model computes.

    trained form = deployed form = boxes and scores of the file     within the tolerance of the file's precision
    detections of the file = contract.nms of its boxes and scores   index by index

The inputs are seeded synthetic images, alone and in a batch whose images have different thresholds, and for int8 also
calibration images. Thresholds are chosen among the actual scores, so random weights are verified like trained ones.

An int8 file is verified in three forms. Two are in the arithmetic that the graph defines: signed maps, and unsigned
maps without the optional ones. The third is the file as the engine runs it on this CPU.

Boxes are compared by 1 - IoU, which is relative to their size. Where sides are decoded by an exponential, the error
grows with the side, so a limit in pixels would depend on the largest boxes alone. In float32, the largest difference of
any prediction counts. Lower precisions round every number in the network. The largest of 25,200 differences is then
random, and mostly belongs to a prediction below every threshold. There, the mean over each image's best predictions
counts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats, aligned_iou, cxcywh_to_xyxy, xyxy_to_cxcywh
from model_zoo.contract.card import ModelCard, Precision
from model_zoo.contract.select import NMSThresholds, above_threshold, select
from model_zoo.detector import Detector, to_network
from model_zoo.export.errors import ExportError
from model_zoo.export.nms_graph import THRESHOLD_INPUTS
from model_zoo.export.sessions import open_model, open_reference
from model_zoo.export.synthetic_images import ImageBatch, synthetic_images
from model_zoo.runtime.int8 import to_uint8_activations, without_optional_maps

BoxesAndScores = tuple[Floats, Floats]  # boxes (B, N, 4), scores (B, N, C)


@dataclass(frozen=True)
class Tolerance:
    """Largest allowed difference between two sets of predictions."""

    score: float
    """Of scores."""
    box: float
    """Of boxes, as 1 - IoU."""
    best: int | None = None
    """Compare the mean over this many best predictions of each image. By default, compare every prediction."""

    def __str__(self) -> str:
        subset = f" on the mean of the best {self.best} predictions" if self.best else ""
        return f"{self.score:g} and {self.box:g}{subset}"


# Correct files stay well below these limits, broken ones well above: docs/exporting.md has the measurements.
TOLERANCES: Mapping[Precision, Tolerance] = {
    "fp32": Tolerance(1e-4, 1e-3),
    "fp16": Tolerance(0.03, 0.03, best=100),
    "int8": Tolerance(0.1, 0.2, best=100),
}
MIN_SIDE = 32  # pixels; smaller boxes are enlarged, so that half a pixel remains a small difference
MAX_CALIBRATION_BATCHES = 4


@dataclass(frozen=True)
class Difference:
    """Largest difference between two sets of predictions."""

    score: float = 0.0
    """Of scores."""
    box: float = 0.0
    """Of boxes, as 1 - IoU."""

    def __str__(self) -> str:
        return f"scores within {self.score:.1e}, boxes within {self.box:.1e} (1 - IoU)"

    def __or__(self, other: Difference) -> Difference:
        return Difference(max(self.score, other.score), max(self.box, other.box))


@dataclass(frozen=True)
class ParityReport:
    """Result of a parity check."""

    deploy: Difference = Difference()
    """Difference between the trained and the deployed form."""
    file: Difference = Difference()
    """Difference between the deployed form and the file."""
    detections: int = 0
    """Number of detections compared."""
    dropped_score: float = 0.0
    """Highest score dropped by the candidate limit."""

    def __or__(self, other: ParityReport) -> ParityReport:
        return ParityReport(
            self.deploy | other.deploy,
            self.file | other.file,
            self.detections + other.detections,
            max(self.dropped_score, other.dropped_score),
        )


class _Form(NamedTuple):
    """A form in which a file is verified."""

    name: str
    raw: ort.InferenceSession
    end_to_end: ort.InferenceSession


def verify(
    detector: Detector,
    deployed: Detector,
    raw: onnx.ModelProto,
    end_to_end: onnx.ModelProto,
    calibration: Sequence[ImageBatch] = (),
) -> ParityReport:
    """Compare both forms of a model and both forms of its graph.

    `calibration` has the images (1, H, W, 3) with which the graph was quantized.

    Raises:
        ExportError: Two of them disagree. The message has the differences.
    """
    card = ModelCard.from_metadata({entry.key: entry.value for entry in end_to_end.metadata_props})
    trained = copy.deepcopy(detector).eval()
    batches = [*_batches(card), *calibration[:MAX_CALIBRATION_BATCHES]]
    references = [_predict(deployed, images) for images in batches]
    exact, allowed = TOLERANCES["fp32"], TOLERANCES[card.precision]
    report = ParityReport()
    for images, reference in zip(batches, references, strict=True):
        deploy = _difference(_predict(trained, images), reference, exact)
        _check_difference("the deployed form and the trained form", deploy, exact)
        report |= ParityReport(deploy)
    for form in _forms(raw, end_to_end, card.precision):
        for images, reference in zip(batches, references, strict=True):
            predictions = _run(form.raw, {"images": images})
            file = _difference(reference, predictions, allowed)
            _check_difference(f"{form.name} and the model", file, allowed)
            report |= ParityReport(file=file) | _compare_detections(form.end_to_end, card, images, predictions)
    return report


def _forms(raw: onnx.ModelProto, end_to_end: onnx.ModelProto, precision: Precision) -> Iterator[_Form]:
    """Open the forms to verify, one after another to save memory."""
    if precision == "int8":
        signed = [bytes(model.SerializeToString()) for model in (raw, end_to_end)]
        unsigned = [to_uint8_activations(without_optional_maps(model)) for model in signed]
        yield _Form("the int8 graph with signed activations", *map(open_reference, signed))
        yield _Form("the int8 graph with unsigned activations", *map(open_reference, unsigned))
    yield _Form(f"the {precision} graph", open_model(raw, precision), open_model(end_to_end, precision))


def _batches(card: ModelCard) -> list[ImageBatch]:
    """Return one image of the card's size, and a batch of three: of a smaller, wide size if the size is dynamic."""
    small = (8 * card.stride, 10 * card.stride) if card.dynamic_size else card.input_size
    return [synthetic_images(card.input_size, 1), synthetic_images(small, 3, seed=1)]


@torch.no_grad()
def _predict(detector: Detector, images: ImageBatch) -> BoxesAndScores:
    boxes, scores = detector.forward_decoded(to_network(torch.from_numpy(images), detector.input_spec))
    return boxes.numpy(), scores.numpy()


def _run(session: ort.InferenceSession, feeds: Mapping[str, NDArray[Any]]) -> BoxesAndScores:
    first, second = session.run(None, dict(feeds))
    return first, second


def _difference(expected: BoxesAndScores, actual: BoxesAndScores, tolerance: Tolerance) -> Difference:
    """Compare predictions as the tolerance defines it. NaN and infinity count as an infinite difference."""
    scores = np.abs(expected[1] - actual[1]).max(axis=2)
    differences = np.nan_to_num(np.stack([scores, _iou_distance(expected[0], actual[0])]), nan=np.inf)  # (2, B, N)
    if tolerance.best:
        ranked = np.argsort(-expected[1].max(axis=2), axis=1, kind="stable")[:, : tolerance.best]
        means = np.take_along_axis(differences, ranked[None], axis=2).mean(axis=2)
        differences = means if np.isfinite(actual[1]).all() else np.inf * np.ones((2, 1))
    return Difference(*differences.reshape(2, -1).max(axis=1).tolist())


def _iou_distance(a: Floats, b: Floats) -> Floats:
    """Return 1 - IoU of boxes (..., 4), row by row."""
    with np.errstate(invalid="ignore", over="ignore"):  # boxes may be NaN or infinite
        return 1 - aligned_iou(_with_min_side(a), _with_min_side(b))


def _with_min_side(boxes: Floats) -> Floats:
    """Return float64 boxes with the same centers and sides of at least MIN_SIDE."""
    enlarged = xyxy_to_cxcywh(boxes.astype(np.float64))
    enlarged[..., 2:] = np.maximum(enlarged[..., 2:], MIN_SIDE)
    return cxcywh_to_xyxy(enlarged)


def _check_difference(what: str, difference: Difference, allowed: Tolerance) -> None:
    if difference.score > allowed.score or difference.box > allowed.box:
        hint = "" if allowed.best is None else ". Use another precision, or for int8 a higher --min-sqnr"
        raise ExportError(f"parity: {what} disagree: {difference}; allowed are {allowed}. No file was written{hint}")


def _compare_detections(
    session: ort.InferenceSession, card: ModelCard, images: ImageBatch, predictions: BoxesAndScores
) -> ParityReport:
    """Compare the graph's detections with `contract.nms` of its predictions, with a different threshold per image."""
    below = card.thresholds.multi_label_below
    dropped = max(_dropped_score(session, images, predictions, threshold, below) for threshold in {0.0, below} - {1.0})
    ranked = -np.sort(-predictions[1].reshape(len(images), -1))
    compared = 0
    for turn, (iou, weight) in enumerate(((0.45, 1.0), (0.65, 0.0), (0.3, 0.5))):
        ranks = [min((10, 100, 1000)[(turn + i) % 3], ranked.shape[1] - 1) for i in range(len(images))]
        thresholds = np.maximum(ranked[np.arange(len(images)), ranks], dropped)
        rows, counts = _run(session, _feeds(images, thresholds, iou, weight))
        for boxes, scores, threshold, detections, count in zip(*predictions, thresholds, rows, counts, strict=True):
            expected = select(boxes, scores, NMSThresholds(threshold, iou, weight), below)
            _check_detections(expected, detections[:count])
            compared += int(count)
    if not compared and _misses_the_best(session, images, predictions):
        raise ExportError(
            f"parity: expected the best predictions among the candidates; scores up to {dropped:g} are missing. "
            "No file was written"
        )
    return ParityReport(detections=compared, dropped_score=dropped)


def _dropped_score(
    session: ort.InferenceSession,
    images: ImageBatch,
    predictions: BoxesAndScores,
    threshold: float,
    multi_label_below: float,
) -> float:
    """Return the highest score that is not among the candidates, which a run without suppression lists."""
    rows, counts = _run(session, _feeds(images, np.full(len(images), threshold), 2.0, 0.0))
    highest = 0.0
    for scores, detections, count in zip(predictions[1], rows, counts, strict=True):
        expected = -np.sort(-above_threshold(scores, threshold, multi_label_below)[2])
        kept = np.zeros_like(expected)
        kept[:count] = detections[:count, 4]
        highest = max(highest, expected[expected > kept * (1 + 1e-6)].max(initial=0.0))
    return float(highest)


def _misses_the_best(session: ort.InferenceSession, images: ImageBatch, predictions: BoxesAndScores) -> bool:
    """Return True if an image's best score is not among the candidates."""
    rows, _ = _run(session, _feeds(images, np.zeros(len(images)), 2.0, 0.0))
    return bool((rows[:, 0, 4] * (1 + 1e-6) < predictions[1].max(axis=(1, 2))).any())


def _feeds(images: ImageBatch, thresholds: Floats, iou: float, weight: float) -> dict[str, NDArray[Any]]:
    values = [value.astype(np.float32) for value in np.broadcast_arrays(thresholds, iou, weight)]
    return {"images": images} | dict(zip(THRESHOLD_INPUTS, values, strict=True))


def _check_detections(expected: Floats, actual: Floats) -> None:
    if expected.shape == actual.shape and np.allclose(expected, actual, rtol=1e-5, atol=1e-5):
        return
    raise ExportError(
        f"parity: expected the {len(expected)} detections of the contract's NMS; the graph returned {len(actual)}, or "
        "different ones. No file was written"
    )
