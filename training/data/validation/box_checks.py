"""What is wrong with boxes, once they are in pixels of their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.formats.raw_labels import Labels
from training.data.validation.findings import Finding

TOLERANCE = 1.0  # pixels over the edge of an image that rounding, and counting from 1 or from 0, explain
Boxes = NDArray[np.float64]
Mask = NDArray[np.bool_]
MENDING = {
    "box-negative": "expected right and bottom edges behind left and top; write it again",
    "box-empty": "expected a width and a height; it is left out; delete it, or draw it again",
    "box-outside": "expected it inside the image, of which it shows nothing; delete it, or draw it again",
    "box-over-edge": "expected it inside the image; it is clipped; draw it again",
    "box-duplicate": "expected it once; it is there before, of the same class; delete it",
}


def check_boxes(labels: Labels, boxes: Boxes, limits: Boxes, there: Mask) -> tuple[list[Finding], Mask]:
    """Return what is wrong with the boxes (M, 4), and which of them can be used.

    limits (M, 4): width, height, width, height of each one's image; there (M,): whether that image can be read.
    """
    masks = _masks(labels, boxes, limits)
    told = [(kind, i) for kind, mask in masks.items() for i in np.flatnonzero(mask & there).tolist()]
    places = labels.object_places(i for _, i in told)
    findings = [
        Finding(kind, *place, f"{_describe(labels, boxes, limits, i)}: {MENDING[kind]}")
        for (kind, i), place in zip(told, places, strict=True)
    ]
    return findings, there & ~masks["box-negative"] & ~masks["box-empty"] & ~masks["box-outside"]


def _masks(labels: Labels, boxes: Boxes, limits: Boxes) -> dict[str, Mask]:
    """Tell which boxes have which fault; each has one, except that one over an edge may also be there twice."""
    inside = np.clip(boxes, 0, limits)
    negative = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    empty = (boxes[:, 2:] == boxes[:, :2]).any(axis=1) & ~negative
    outside = (inside[:, 2:] <= inside[:, :2]).any(axis=1) & ~negative & ~empty
    shown = ~(negative | empty | outside)
    return {
        "box-negative": negative,
        "box-empty": empty,
        "box-outside": outside,
        "box-over-edge": shown & (np.abs(inside - boxes) > TOLERANCE).any(axis=1),
        "box-duplicate": shown & _repeated(labels, boxes),
    }


def _repeated(labels: Labels, boxes: Boxes) -> Mask:
    """Tell the objects of which there is another before with the same image, class and box."""
    rows = np.column_stack((labels.image_index, labels.categories, boxes))
    order = np.lexsort(rows.T)  # leaves equals in their order; several times as fast as np.unique of rows
    repeated = np.zeros(len(rows), dtype=np.bool_)
    repeated[order[1:]] = (rows[order[1:]] == rows[order[:-1]]).all(axis=1)
    return repeated


def _describe(labels: Labels, boxes: Boxes, limits: Boxes, i: int) -> str:
    corners = ", ".join(f"{edge:g}" for edge in np.round(boxes[i], 2).tolist())
    width, height = limits[i, :2].astype(int).tolist()
    name = Path(labels.images[labels.image_index[i]]).name
    return f"box ({corners}) of {name}, {height} x {width}"
