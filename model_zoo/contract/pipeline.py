"""Preprocessing and postprocessing around any `run(feeds)`, shared by the service and the evaluation.

Usage:

    query = make_query(card, score=0.3)                   # checked against the card
    item = read_input(card, data, engine.canvases)        # decode a file and letterbox it: image -> canvas pixels
    item = preprocess(card, image)                        # the same for an image that is already decoded
    rows, counts = run(collate([item, ...], [query, ...]))
    detections = postprocess(rows[0], counts[0], item.geometry, query)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract import letterbox
from model_zoo.contract.card import ModelCard
from model_zoo.contract.class_filter import class_ids
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import ImageError, QueryError
from model_zoo.contract.images import DEFAULT_LIMITS, ImageLimits, Warn, decode_parsed, parse_image
from model_zoo.contract.letterbox import Geometry, Size
from model_zoo.contract.nms import DISTANCE_WEIGHTS

Feeds = Mapping[str, NDArray[np.generic]]
Run = Callable[[Feeds], tuple[NDArray[np.float32], NDArray[np.int32]]]


@dataclass(frozen=True)
class Query:
    """Parameters of one request, created and checked by `make_query`."""

    score: float
    """Min score, exclusive."""
    iou: float
    """Measure above which NMS suppresses a box."""
    distance_weight: float
    """1 for DIoU-NMS, 0 for plain IoU-NMS."""
    class_ids: frozenset[int] | None
    """Classes to return, or None for all."""
    max_detections: int
    """Max detections per image."""


@dataclass(frozen=True, eq=False)
class ModelInput:
    """One preprocessed image."""

    pixels: NDArray[np.uint8]
    """The image on its canvas, (H, W, 3) RGB."""
    geometry: Geometry
    """Placement of the image on the canvas."""


def make_query(
    card: ModelCard,
    *,
    score: float | None = None,
    iou: float | None = None,
    nms: str | None = None,
    distance_weight: float | None = None,
    classes: str | int | Sequence[str | int] | None = None,
    max_detections: int | None = None,
) -> Query:
    """Build a query. Parameters that are None get the card's default. `nms` is the name of a distance weight.

    Raises:
        QueryError: a value is outside the card's bounds, or a class is unknown.
    """
    if nms is not None:
        if nms not in DISTANCE_WEIGHTS:
            raise QueryError(f"nms: expected {' or '.join(DISTANCE_WEIGHTS)}; got {nms!r}")
        distance_weight = DISTANCE_WEIGHTS[nms]
    bounds = card.thresholds
    limit = card.max_detections
    classes = [classes] if isinstance(classes, str | int) else classes
    return Query(
        score=_within("score", score, bounds.score, bounds.score_floor, 1.0),
        iou=_within("iou", iou, bounds.iou, 0.0, 1.0),
        distance_weight=_within("distance_weight", distance_weight, bounds.distance_weight, 0.0, 1.0),
        class_ids=None if classes is None else class_ids(card, classes),
        max_detections=int(_within("max_detections", max_detections, limit, 1, card.candidates)),
    )


def read_input(
    card: ModelCard,
    data: bytes | bytearray | memoryview,
    sizes: Sequence[Size] = (),
    *,
    exact: bool = False,
    limits: ImageLimits = DEFAULT_LIMITS,
    warn: Warn | None = None,
) -> ModelInput:
    """Decode an image file and letterbox it onto the canvas of `sizes` that it needs.

    Args:
        card: Card of the model.
        data: Contents of the file.
        sizes: Canvas sizes that the engine keeps ready, by default only the card's input size.
        exact: Decode all images at full size. By default, a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that is
            at least its size on the canvas. The placement of the image does not depend on it.
        limits: Max size of the file and the image.
        warn: Called with a description if the file is damaged but can be decoded, at least in part.

    Raises:
        ImageError: as `decode_image`.
    """
    encoded = parse_image(data, limits)
    size = encoded.header.displayed_size
    geometry = letterbox.plan(card.letterbox, size, choose_canvas(card, size, sizes), limit=card.input_size)
    pixels = decode_parsed(encoded, warn, None if exact else geometry.resized)
    return ModelInput(letterbox.apply(pixels, geometry, card.letterbox.fill), geometry)


def preprocess(card: ModelCard, image: NDArray[np.uint8], canvas: Size | None = None) -> ModelInput:
    """Letterbox an RGB image (H, W, 3) onto a canvas of `choose_canvas`, by default of the card's input size.

    Raises:
        ImageError: The image has another type or shape.
    """
    image = _as_rgb(image)
    size = (image.shape[0], image.shape[1])
    geometry = letterbox.plan(card.letterbox, size, canvas or card.input_size, limit=card.input_size)
    return ModelInput(letterbox.apply(image, geometry, card.letterbox.fill), geometry)


def _as_rgb(image: object) -> NDArray[np.uint8]:
    """Return an array or a PIL image as uint8 (H, W, 3)."""
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageError(
            "image: expected RGB pixels, uint8 of shape (height, width, 3); "
            f"got {pixels.dtype} of shape {pixels.shape}; convert a PIL image with image.convert('RGB'), "
            "or read a file with decode_image"
        )
    return pixels


def collate(items: Sequence[ModelInput], queries: Sequence[Query]) -> Feeds:
    """Stack images of one canvas size and their thresholds into the graph's inputs."""
    return make_feeds([item.pixels for item in items], queries)


def make_feeds(canvases: Sequence[NDArray[np.uint8]], queries: Sequence[Query]) -> Feeds:
    """Stack canvases (H, W, 3) of one size and their thresholds into the graph's inputs. A single one is not copied."""
    return {
        "images": np.stack(canvases) if len(canvases) > 1 else canvases[0][None],
        "score_threshold": np.asarray([q.score for q in queries], dtype=np.float32),
        "iou_threshold": np.asarray([q.iou for q in queries], dtype=np.float32),
        "distance_weight": np.asarray([q.distance_weight for q in queries], dtype=np.float32),
    }


def postprocess(rows: NDArray[np.float32], count: int, geometry: Geometry | None, query: Query) -> Detections:
    """Convert the graph output (K, 6) of one image to detections in pixels of that image.

    Without `geometry`, boxes stay in canvas pixels as the graph returns them.
    """
    rows = rows[:count]
    if query.class_ids is not None:
        rows = rows[np.isin(rows[:, 5], list(query.class_ids))]
    rows = rows[: query.max_detections]
    boxes = letterbox.undo(rows[:, :4], geometry) if geometry else rows[:, :4].copy()
    return Detections(boxes, rows[:, 4].copy(), rows[:, 5].astype(np.int64))  # copies: engines reuse their buffers


def detect(card: ModelCard, run: Run, images: Sequence[NDArray[np.uint8]], query: Query) -> list[Detections]:
    """Detect on a batch of RGB images with one query, on canvases of the card's input size."""
    return detect_inputs(run, [preprocess(card, image) for image in images], query)


def detect_inputs(run: Run, items: Sequence[ModelInput], query: Query) -> list[Detections]:
    """Detect on a batch of preprocessed images of one canvas size with one query."""
    rows, counts = run(collate(items, [query] * len(items)))
    return [postprocess(r, int(n), item.geometry, query) for r, n, item in zip(rows, counts, items, strict=True)]


def canvases(card: ModelCard, *, few: bool = True) -> list[Size]:
    """List the canvas sizes of wide and tall images, the card's own first.

    Args:
        few: Only sizes worth a static session: 4:3 and 16:9, wide and tall. Otherwise every multiple of the stride that
            removing the border of an image can leave, as in the original programs.
    """
    if not card.dynamic_size or card.letterbox.align == "stretch":
        return [card.input_size]
    (height, width), step = card.input_size, card.stride
    if not few:
        lower = [(side, width) for side in range(height - step, 0, -step)]
        return [card.input_size, *lower, *((height, side) for side in range(width - step, 0, -step))]
    long_side = max(card.input_size)
    short_sides = [-(-long_side * num // den // step) * step for num, den in ((3, 4), (9, 16))]
    wide = [(short, long_side) for short in short_sides]
    return list(dict.fromkeys([card.input_size, *wide, *((w, h) for h, w in wide)]))


def choose_canvas(card: ModelCard, image: Size, sizes: Sequence[Size]) -> Size:
    """Return the smallest of `sizes` on which the image is as large as on the card's input size."""
    height, width = letterbox.plan(card.letterbox, image, card.input_size).resized
    fitting = [s for s in sizes if height <= s[0] and width <= s[1]]
    return min(fitting, key=lambda s: s[0] * s[1], default=card.input_size)


def _within(name: str, value: float | None, default: float, low: float, high: float) -> float:
    if value is None:
        return default
    if not isinstance(value, Real) or not low <= value <= high:  # also rejects NaN
        actual = f"{value:g}" if isinstance(value, Real) else repr(value)[:100]
        raise QueryError(f"{name}: expected a number from {low:g} to {high:g}; got {actual}")
    return value
