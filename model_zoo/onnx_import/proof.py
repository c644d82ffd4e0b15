"""Prove that a new graph detects what the file itself outputs, after the NMS of the contract."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto

from model_zoo.contract.boxes import Floats
from model_zoo.contract.card import ModelCard
from model_zoo.contract.pipeline import Query, make_feeds
from model_zoo.contract.select import NMSThresholds, above_threshold, select
from model_zoo.export.errors import ExportError
from model_zoo.export.synthetic_images import ImageBatch, synthetic_images
from model_zoo.onnx_import.decoding import Decoding, decode
from model_zoo.onnx_import.network import Network, Runs
from model_zoo.runtime.sessions import make_session
from model_zoo.runtime.thread_budget import all_cores

QUERIES = ((10, 0.65, 0.0), (400, 0.3, 0.5))  # rank of the min score, IoU, distance weight
ABOVE = 1 + 1e-5  # factor from a score to a threshold that excludes it, however it is rounded
TOLERANCE = 1e-4  # relative for coordinates and scores, and absolute in pixels


@dataclass(frozen=True)
class Proof:
    """Result of a comparison."""

    images: int = 0
    """Number of images compared."""
    detections: int = 0
    """Number of equal detections."""
    dropped_score: float = 0.0
    """Highest score dropped by the candidate limit."""


def prove(runs: Runs, decoding: Decoding, grafted: ModelProto, card: ModelCard) -> Proof:
    """Compare detections of the new graph with those of the file's outputs, index by index.

    Each image is compared with one query, so that different images have different thresholds in a batch.

    Raises:
        ExportError: They differ.
    """
    session = make_session(grafted.SerializeToString(), label="the new graph", threads=all_cores(), optimize=False)
    proof, queries = Proof(), itertools.cycle((*QUERIES, (100, card.thresholds.iou, 1.0)))
    for images, outputs in runs:
        boxes, scores = decode(decoding, outputs, (images.shape[1], images.shape[2]))
        thresholds = [
            NMSThresholds(_score(each, rank, card), iou, weight)
            for each, (rank, iou, weight) in zip(scores, queries, strict=False)
        ]
        count = _compare(session, images, boxes, scores, thresholds, card)
        dropped = max(proof.dropped_score, _dropped(scores, card))
        proof = Proof(proof.images + len(images), proof.detections + count, dropped)
    return proof


def other_runs(network: Network) -> Runs:
    """Return a batch of images of another size, as far as the network accepts either, with their outputs."""
    fmt = network.format
    if not (fmt.dynamic_batch or fmt.dynamic_size):
        return []
    size = fmt.other_size if fmt.dynamic_size else fmt.size
    images = synthetic_images(size, 3, seed=1)[: 3 if fmt.dynamic_batch else 1]
    return [(images, network.run(images))]


def _compare(
    session: Any,
    images: ImageBatch,
    boxes: Floats,
    scores: Floats,
    thresholds: list[NMSThresholds],
    card: ModelCard,
) -> int:
    queries = [Query(t.score, t.iou, t.distance_weight, None, card.candidates) for t in thresholds]
    rows, counts = session.run(["detections", "count"], dict(make_feeds(list(images), queries)))
    for i, threshold in enumerate(thresholds):
        expected = select(boxes[i], scores[i], threshold, card.thresholds.multi_label_below)
        _check(expected, rows[i, : counts[i]])
    return int(counts.sum())


def _check(expected: Floats, actual: Floats) -> None:
    if expected.shape == actual.shape and (_is_close(expected, actual) or _differ_in_order(expected, actual)):
        return
    raise ExportError(
        f"proof: expected the {len(expected)} detections of the file's own outputs; the new graph returned "
        f"{len(actual)}, or different ones. Nothing was published"
    )


def _is_close(a: Floats, b: Floats) -> bool:
    return np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE)


def _differ_in_order(expected: Floats, actual: Floats) -> bool:
    """Return True if only detections of almost equal scores are in another order."""
    if not _is_close(expected[:, 4], actual[:, 4]):
        return False
    return all(
        np.isclose(row, rows, rtol=TOLERANCE, atol=TOLERANCE).all(axis=1).any()
        for one, rows in ((expected, actual), (actual, expected))
        for row in one
    )


def _score(scores: Floats, rank: int, card: ModelCard) -> float:
    """Return a min score near a rank, in the widest gap between two scores and above those that are dropped."""
    ranked = -np.sort(-scores.max(axis=1)).astype(np.float64)
    window = ranked[rank : 2 * rank] if len(ranked) > rank + 1 else ranked[len(ranked) // 2 :]
    gap = int(np.argmax(window[:-1] - window[1:])) if len(window) > 1 else 0
    score = float(max(window[gap : gap + 2].mean(), window[gap : gap + 2].min() * ABOVE)) if len(window) else 0.0
    return max(score, _dropped_at(scores, score, card) * ABOVE)


def _dropped(scores: Floats, card: ModelCard) -> float:
    return max(_dropped_at(each, card.thresholds.score_floor, card) for each in scores)


def _dropped_at(scores: Floats, threshold: float, card: ModelCard) -> float:
    """Return the highest score of a prediction that is not among the candidates at a min score, 0 if all are."""
    values = above_threshold(scores, threshold, card.thresholds.multi_label_below)[2]
    ranked = -np.sort(-values)
    return float(ranked[card.candidates]) if len(ranked) > card.candidates else 0.0
