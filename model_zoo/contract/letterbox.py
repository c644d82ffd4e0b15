"""Geometry of every resize policy: plan it, apply it to pixels, undo it on boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats, clip

Size = tuple[int, int]  # (height, width)


@dataclass(frozen=True)
class LetterboxPolicy:
    """How an image is brought to the network's input size.

    align: `centre` (YOLOv3, v4, v5, v6, v7), `top_left` (YOLOX) or `stretch` (YOLOv1, v2).
    rounding: of the resized size; `round` (v5, v6, v7) or `floor` (Darknet, YOLOX).
    fill: grey value of the border. scale_up: whether images smaller than the input are enlarged.
    """

    align: Literal["centre", "top_left", "stretch"] = "centre"
    rounding: Literal["round", "floor"] = "round"
    fill: int = 114
    scale_up: bool = True


@dataclass(frozen=True)
class Geometry:
    """Where an image lies on its canvas.

    image, canvas: sizes (height, width). resized: size of the image on the canvas; corner: its top-left pixel there
    (top, left). scale, offset: (y, x) of the map canvas = image * scale + offset that boxes are undone with. With
    `rounding="round"` it is the exact map before rounding to whole pixels, as the YOLOv5 lineage defines it.
    """

    image: Size
    canvas: Size
    resized: Size
    corner: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]


def plan(policy: LetterboxPolicy, image: Size, canvas: Size) -> Geometry:
    """Place an image of size `image` on a canvas of size `canvas` by `policy`."""
    if policy.align == "stretch":
        scale = (canvas[0] / image[0], canvas[1] / image[1])
        return Geometry(image, canvas, canvas, (0, 0), scale, (0.0, 0.0))
    gain = min(canvas[0] / image[0], canvas[1] / image[1])
    gain = gain if policy.scale_up else min(gain, 1.0)
    resized = _resized(policy, image, gain)
    corner = (0, 0) if policy.align == "top_left" else _centred(policy, canvas, resized)
    if policy.align == "top_left":
        return Geometry(image, canvas, resized, corner, (gain, gain), (0.0, 0.0))
    if policy.rounding == "floor":  # Darknet undoes with the whole-pixel sizes
        exact = (resized[0] / image[0], resized[1] / image[1])
        return Geometry(image, canvas, resized, corner, exact, (float(corner[0]), float(corner[1])))
    offset = ((canvas[0] - image[0] * gain) / 2, (canvas[1] - image[1] * gain) / 2)
    return Geometry(image, canvas, resized, corner, (gain, gain), offset)


def smallest_canvas(policy: LetterboxPolicy, image: Size, limit: Size, stride: int) -> Size:
    """Return the smallest canvas inside `limit` that holds the image with sides that leave whole strides cut off.

    This is the rectangular inference of the YOLOv5 lineage: the border is taken modulo `stride`.
    """
    if policy.align == "stretch":
        return limit
    resized = plan(policy, image, limit).resized
    height, width = (r + (bound - r) % stride for r, bound in zip(resized, limit, strict=True))
    return height, width


def apply(image: NDArray[np.uint8], geometry: Geometry, fill: int) -> NDArray[np.uint8]:
    """Resize `image` (H, W, 3) and lay it on its canvas, bilinear, border `fill`."""
    height, width = geometry.resized
    if image.shape[:2] != geometry.resized:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    if geometry.resized == geometry.canvas:
        return np.ascontiguousarray(image)
    canvas = np.full((*geometry.canvas, 3), fill, dtype=np.uint8)
    top, left = geometry.corner
    canvas[top : top + height, left : left + width] = image
    return canvas


def undo(boxes: Floats, geometry: Geometry) -> Floats:
    """Map (..., 4) boxes from canvas pixels to image pixels and clip them to the image."""
    offset = np.asarray(geometry.offset[::-1] * 2, dtype=boxes.dtype)
    scale = np.asarray(geometry.scale[::-1] * 2, dtype=boxes.dtype)
    return clip((boxes - offset) / scale, geometry.image)


def _resized(policy: LetterboxPolicy, image: Size, gain: float) -> Size:
    if policy.rounding == "round":
        return max(round(image[0] * gain), 1), max(round(image[1] * gain), 1)
    return max(int(image[0] * gain), 1), max(int(image[1] * gain), 1)


def _centred(policy: LetterboxPolicy, canvas: Size, resized: Size) -> tuple[int, int]:
    """Top-left corner; the lineage of v5 splits an odd border with round(border / 2 - 0.1)."""
    top, left = ((c - r) / 2 for c, r in zip(canvas, resized, strict=True))
    if policy.rounding == "round":
        return round(top - 0.1), round(left - 0.1)
    return int(top), int(left)
