"""Checks of boxes in pixels of their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.formats.raw_labels import RawLabels
from training.data.validation.findings import Finding

TOLERANCE = 1.0  # pixels beyond the image edge that rounding, or counting from 0 or 1, explains
Boxes = NDArray[np.float64]
Mask = NDArray[np.bool_]
MESSAGES = {
    "box-negative": "right or bottom edge lies before left or top; correct it",
    "box-empty": "has no width or no height, it is ignored; delete it or draw it again",
    "box-outside": "lies outside the image; delete it or draw it again",
    "box-over-edge": "extends beyond the image, it is clipped; draw it again",
    "box-duplicate": "an earlier object has the same box and class; delete one",
}


def check_boxes(labels: RawLabels, boxes: Boxes, limits: Boxes, checked: Mask) -> tuple[list[Finding], Mask]:
    """Return findings about the boxes (M, 4), and a mask (M,) of the valid ones.

    `limits` (M, 4) is width, height, width, height of the image of each box. `checked` (M,) selects the boxes to check;
    the others, such as boxes of unreadable images, are not valid.
    """
    masks = _error_masks(labels, boxes, limits)
    errors = [(kind, i) for kind, mask in masks.items() for i in np.flatnonzero(mask & checked).tolist()]
    locations = labels.object_locations(i for _, i in errors)
    findings = [
        Finding(kind, *location, f"{_describe(labels, boxes, limits, i)}: {MESSAGES[kind]}")
        for (kind, i), location in zip(errors, locations, strict=True)
    ]
    return findings, checked & ~masks["box-negative"] & ~masks["box-empty"] & ~masks["box-outside"]


def _error_masks(labels: RawLabels, boxes: Boxes, limits: Boxes) -> dict[str, Mask]:
    """Return a mask of boxes for each kind. A box has one kind, except that one over the edge may be a duplicate."""
    clipped = np.clip(boxes, 0, limits)
    negative = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    empty = (boxes[:, 2:] == boxes[:, :2]).any(axis=1) & ~negative
    outside = (clipped[:, 2:] <= clipped[:, :2]).any(axis=1) & ~negative & ~empty
    visible = ~(negative | empty | outside)
    return {
        "box-negative": negative,
        "box-empty": empty,
        "box-outside": outside,
        "box-over-edge": visible & (np.abs(clipped - boxes) > TOLERANCE).any(axis=1),
        "box-duplicate": visible & _duplicate_mask(labels, boxes),
    }


def _duplicate_mask(labels: RawLabels, boxes: Boxes) -> Mask:
    """Return a mask of objects that repeat an earlier one with the same image, class and box."""
    rows = np.column_stack((labels.objects.image_index, labels.objects.category, boxes))
    order = np.lexsort(rows.T)  # stable, and several times faster than np.unique of rows
    duplicates = np.zeros(len(rows), dtype=np.bool_)
    duplicates[order[1:]] = (rows[order[1:]] == rows[order[:-1]]).all(axis=1)
    return duplicates


def _describe(labels: RawLabels, boxes: Boxes, limits: Boxes, i: int) -> str:
    corners = ", ".join(f"{edge:g}" for edge in np.round(boxes[i], 2).tolist())
    width, height = limits[i, :2].astype(int).tolist()
    name = Path(labels.images.path[labels.objects.image_index[i]]).name
    return f"box ({corners}) of {name}, {width} x {height}"
