"""Decode the outputs of a network to boxes and scores, in NumPy: the reference that the graph must match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats, cxcywh_to_xyxy
from model_zoo.contract.letterbox import Size
from model_zoo.onnx_import.network import Arrays
from model_zoo.onnx_import.options import Layout

MAX_QUERIES = 1000  # rows of networks that need no NMS; others predict thousands


@dataclass(frozen=True)
class Decoding:
    """Meaning of the outputs of a network."""

    layout: Layout
    """Layout of the outputs."""
    outputs: tuple[str, ...]
    """Names of the outputs: rows, or boxes, scores and class indices as the layout has them."""
    classes: int
    """Number of classes."""
    predictions: int
    """Number of predictions per image."""
    boxes: Literal["cxcywh", "xyxy"] = "cxcywh"
    """Format of the boxes."""
    normalized: bool = False
    """Whether boxes are from 0 to 1 instead of pixels."""
    logits: bool = False
    """Whether scores need a sigmoid."""

    @property
    def has_objectness(self) -> bool:
        """Whether a column of objectness precedes the scores."""
        return self.layout in ("v5", "yolox", "yolox-raw")

    @property
    def needs_nms(self) -> bool:
        """Whether several predictions may describe one object."""
        is_set = self.layout == "boxes-scores" and self.predictions <= MAX_QUERIES
        return not is_set and self.layout not in ("end-to-end", "detr", "boxes-scores-labels")


def decode(decoding: Decoding, outputs: Arrays, size: Size) -> tuple[Floats, Floats]:
    """Return boxes (B, N, 4), xyxy in pixels, and scores (B, N, C), both float32, for inputs of `size`."""
    boxes, scores = _split(decoding, [outputs[name] for name in decoding.outputs])
    if decoding.logits:
        scores = np.float32(1) / (np.float32(1) + np.exp(-scores))
    if decoding.layout == "yolox-raw":
        grid, strides = grid_cells(size)
        boxes = np.concatenate([(boxes[..., :2] + grid) * strides, np.exp(boxes[..., 2:]) * strides], axis=-1)
    if decoding.boxes == "cxcywh":
        boxes = cxcywh_to_xyxy(boxes)
    if decoding.normalized:
        boxes = boxes * np.asarray([size[1], size[0]] * 2, dtype=np.float32)
    return boxes, scores


def grid_cells(size: Size, strides: Sequence[int] = (8, 16, 32)) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x and y of all cells (N, 2), finest map first and row by row, and their strides (N, 1)."""
    cells = [np.mgrid[: size[0] // s, : size[1] // s][::-1].reshape(2, -1).T for s in strides]
    steps = [np.full((len(map_), 1), s) for map_, s in zip(cells, strides, strict=True)]
    return np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32)


def _split(decoding: Decoding, outputs: Sequence[NDArray[np.generic]]) -> tuple[Floats, Floats]:
    """Return boxes as the network has them, and scores."""
    values = [output.astype(np.float32) for output in outputs]
    rows = values[0]
    if decoding.layout == "boxes-scores":
        return rows, values[1]
    if decoding.layout == "boxes-scores-labels":
        return rows, _one_hot(values[1], values[2], decoding.classes)
    if decoding.layout == "end-to-end":
        return rows[..., :4], _one_hot(rows[..., 4], rows[..., 5], decoding.classes)
    if decoding.layout == "v8":
        rows = np.ascontiguousarray(rows.transpose(0, 2, 1))
    if decoding.has_objectness:
        return rows[..., :4], rows[..., 4:5] * rows[..., 5:]
    return rows[..., :4], rows[..., 4:]


def _one_hot(scores: Floats, labels: Floats, classes: int) -> Floats:
    """Return scores (B, N, C) that are 0 for all classes but the label."""
    is_label = labels[..., None] == np.arange(classes, dtype=np.float32)
    return np.asarray(scores[..., None] * is_label.astype(np.float32))
