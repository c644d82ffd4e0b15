"""Preprocess and postprocess around any `run(feeds)`; the service and the evaluation share it.

query  = make_query(card, score=0.3)                  # checked against the card
item   = preprocess(card, image)                         # letterbox: image pixels -> canvas pixels
rows, counts = run(collate([item, ...], [query, ...]))
found  = postprocess(rows[0], counts[0], item.geometry, query)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract import letterbox
from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import QueryError
from model_zoo.contract.letterbox import Geometry, Size

Feeds = Mapping[str, NDArray[np.generic]]
Run = Callable[[Feeds], tuple[NDArray[np.float32], NDArray[np.int32]]]
DISTANCE_WEIGHTS: Final = {"diou": 1.0, "iou": 0.0}  # of the kinds of NMS that a request may name


@dataclass(frozen=True)
class Query:
    """What one request asks for; make it with `make_query`, which checks it against the card."""

    score: float
    iou: float
    distance_weight: float
    class_ids: frozenset[int] | None
    max_detections: int


@dataclass(frozen=True, eq=False)
class ModelInput:
    """An image on its canvas: pixels uint8 (H, W, 3) RGB, and where it lies there."""

    pixels: NDArray[np.uint8]
    geometry: Geometry


def make_query(
    card: ModelCard,
    *,
    score: float | None = None,
    iou: float | None = None,
    distance_weight: float | None = None,
    classes: Sequence[str | int] | None = None,
    max_detections: int | None = None,
) -> Query:
    """Fill in the card's defaults and check the rest; QueryError says what is allowed."""
    bounds = card.thresholds
    limit = card.max_detections
    return Query(
        score=_within("score", score, bounds.score, bounds.score_floor, 1.0),
        iou=_within("iou", iou, bounds.iou, 0.0, 1.0),
        distance_weight=_within("distance_weight", distance_weight, bounds.distance_weight, 0.0, 1.0),
        class_ids=None if classes is None else frozenset(_class_id(card, c) for c in classes),
        max_detections=int(_within("max_detections", max_detections, limit, 1, card.candidates)),
    )


def preprocess(card: ModelCard, image: NDArray[np.uint8], canvas: Size | None = None) -> ModelInput:
    """Lay an RGB image (H, W, 3) on a canvas, by default of the card's input size."""
    geometry = letterbox.plan(card.letterbox, (image.shape[0], image.shape[1]), canvas or card.input_size)
    return ModelInput(letterbox.apply(image, geometry, card.letterbox.fill), geometry)


def collate(items: Sequence[ModelInput], queries: Sequence[Query]) -> Feeds:
    """Stack images of one canvas size and the thresholds of each into the graph's inputs."""
    return {
        "images": np.stack([item.pixels for item in items]),
        "score_threshold": np.asarray([q.score for q in queries], dtype=np.float32),
        "iou_threshold": np.asarray([q.iou for q in queries], dtype=np.float32),
        "distance_weight": np.asarray([q.distance_weight for q in queries], dtype=np.float32),
    }


def postprocess(rows: NDArray[np.float32], count: int, geometry: Geometry, query: Query) -> Detections:
    """Turn one image's graph output (K, 6) into detections in pixels of that image."""
    rows = rows[:count]
    if query.class_ids is not None:
        rows = rows[np.isin(rows[:, 5], list(query.class_ids))]
    rows = rows[: query.max_detections]
    boxes = letterbox.undo(rows[:, :4], geometry)
    return Detections(boxes, rows[:, 4].copy(), rows[:, 5].astype(np.int64))  # copies: engines use their buffers again


def detect(card: ModelCard, run: Run, images: Sequence[NDArray[np.uint8]], query: Query) -> list[Detections]:
    """Detect on a batch of RGB images with one query."""
    items = [preprocess(card, image) for image in images]
    rows, counts = run(collate(items, [query] * len(items)))
    return [postprocess(r, int(n), item.geometry, query) for r, n, item in zip(rows, counts, items, strict=True)]


def canvases(card: ModelCard) -> list[Size]:
    """List the canvas sizes worth a static session: the card's own, then 4:3, 16:9 and their portraits.

    Wide and tall photos cost up to 40 % less on them, at slightly other scores than on the card's own size.
    """
    if not card.dynamic_size or card.letterbox.align == "stretch":
        return [card.input_size]
    long_side, step = max(card.input_size), card.stride
    short_sides = [-(-long_side * num // den // step) * step for num, den in ((3, 4), (9, 16))]
    wide = [(short, long_side) for short in short_sides]
    return list(dict.fromkeys([card.input_size, *wide, *((w, h) for h, w in wide)]))


def choose_canvas(card: ModelCard, image: Size, sizes: Sequence[Size]) -> Size:
    """Pick the smallest of `sizes` on which the image is as large as on the card's own size."""
    own = letterbox.plan(card.letterbox, image, card.input_size).resized
    fitting = [s for s in sizes if letterbox.plan(card.letterbox, image, s).resized == own]
    return min(fitting, key=lambda s: s[0] * s[1], default=card.input_size)


def _within(name: str, value: float | None, default: float, low: float, high: float) -> float:
    if value is None:
        return default
    if not low <= value <= high:  # also catches NaN
        raise QueryError(f"{name}: expected a number from {low:g} to {high:g}; got {value:g}")
    return value


def _class_id(card: ModelCard, name: str | int) -> int:
    if isinstance(name, str) and name in card.class_names:
        return card.class_names.index(name)
    indices = {str(index): index for index in range(len(card.class_names))}
    if str(name) in indices:
        return indices[str(name)]
    known = ", ".join(card.class_names[:8]) + (", ..." if len(card.class_names) > 8 else "")
    raise QueryError(f"classes: {card.name} knows no class {name!r}; expected a name or an index of: {known}")
