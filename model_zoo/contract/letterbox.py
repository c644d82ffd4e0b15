"""Letterbox: plan the placement of an image on its canvas, apply it to pixels, undo it on boxes."""

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
    """Resize policy: placement, rounding and border of an image on the input canvas."""

    align: Literal["center", "top_left", "stretch"] = "center"
    """Placement: center (YOLOv3, v4, v5, v6, v7), top_left (YOLOX) or stretch (YOLOv1, v2)."""
    rounding: Literal["round", "floor"] = "round"
    """Rounding of the resized size: round (v5, v6, v7) or floor (YOLOX, and Darknet with align center)."""
    fill: int = 114
    """Gray value of the border."""
    scale_up: bool = True
    """Whether images smaller than the input are enlarged."""


@dataclass(frozen=True)
class Geometry:
    """Placement of an image on its canvas. Sizes are (height, width).

    Boxes map by canvas = image * scale + offset. With `rounding="round"` this is the exact map before rounding to whole
    pixels, as the YOLOv5 lineage defines it.
    """

    image: Size
    """Size of the image."""
    canvas: Size
    """Size of the canvas."""
    resized: Size
    """Size of the image on the canvas."""
    corner: tuple[int, int]
    """Top-left pixel (top, left) of the image on the canvas."""
    scale: tuple[float, float]
    """Scale (y, x) of the map for boxes."""
    offset: tuple[float, float]
    """Offset (y, x) of the map for boxes."""


def plan(policy: LetterboxPolicy, image: Size, canvas: Size, limit: Size | None = None) -> Geometry:
    """Compute the placement of an image of size `image` on a canvas of size `canvas`.

    The image is scaled to `limit`, by default `canvas`. A canvas of `smallest_canvas` needs the limit it was computed
    from, because rounding can make a side a little shorter than its exact length.
    """
    if policy.align == "stretch":
        scale = (canvas[0] / image[0], canvas[1] / image[1])
        return Geometry(image, canvas, canvas, (0, 0), scale, (0.0, 0.0))
    gain = _gain(policy, image, limit or canvas)
    resized = _resized(policy, image, limit or canvas)
    if policy.align == "top_left":
        return Geometry(image, canvas, resized, (0, 0), (gain, gain), (0.0, 0.0))
    if policy.rounding == "floor":
        return _place_in_whole_pixels(image, canvas, resized)
    corner = (round((canvas[0] - resized[0]) / 2 - 0.1), round((canvas[1] - resized[1]) / 2 - 0.1))
    offset = ((canvas[0] - image[0] * gain) / 2, (canvas[1] - image[1] * gain) / 2)
    return Geometry(image, canvas, resized, corner, (gain, gain), offset)


def smallest_canvas(policy: LetterboxPolicy, image: Size, limit: Size, stride: int) -> Size:
    """Return the canvas that remains of `limit` after removing whole strides from the image's border.

    The resized image keeps its size, and sides stay multiples of `stride` if those of `limit` are. This is the
    rectangular inference of the YOLOv5 lineage: sides are rounded before their border is measured. A stretched image
    has no border, so its canvas is `limit`.
    """
    if policy.align == "stretch":
        return limit
    resized = _resized(policy, image, limit)
    height, width = (side + (bound - side) % stride for side, bound in zip(resized, limit, strict=True))
    return height, width


def apply(image: NDArray[np.uint8], geometry: Geometry, fill: int) -> NDArray[np.uint8]:
    """Resize `image` (H, W, 3) bilinearly and place it on its canvas with a border of `fill`."""
    height, width = geometry.resized
    top, left = geometry.corner
    bottom, right = top + height, left + width
    canvas = np.empty((*geometry.canvas, 3), dtype=np.uint8)
    canvas[:top] = canvas[bottom:] = fill
    canvas[top:bottom, :left] = canvas[top:bottom, right:] = fill
    inside = canvas[top:bottom, left:right]
    if image.shape == inside.shape:
        inside[:] = image
    else:
        cv2.resize(image, (width, height), dst=inside, interpolation=cv2.INTER_LINEAR)
    return canvas


def undo(boxes: Floats, geometry: Geometry) -> Floats:
    """Map (..., 4) boxes from canvas pixels to image pixels and clip them to the image."""
    offset = np.asarray(geometry.offset[::-1] * 2, dtype=boxes.dtype)
    scale = np.asarray(geometry.scale[::-1] * 2, dtype=boxes.dtype)
    return clip((boxes - offset) / scale, geometry.image)


def _place_in_whole_pixels(image: Size, canvas: Size, resized: Size) -> Geometry:
    """Place an image as Darknet does: integer division, and boxes are mapped with the whole-pixel sizes."""
    corner = ((canvas[0] - resized[0]) // 2, (canvas[1] - resized[1]) // 2)
    scale = (resized[0] / image[0], resized[1] / image[1])
    return Geometry(image, canvas, resized, corner, scale, (float(corner[0]), float(corner[1])))


def _gain(policy: LetterboxPolicy, image: Size, limit: Size) -> float:
    gain = min(limit[0] / image[0], limit[1] / image[1])
    return gain if policy.scale_up else min(gain, 1.0)


def _resized(policy: LetterboxPolicy, image: Size, limit: Size) -> Size:
    """Return the size of the resized image, at least one pixel a side."""
    if policy.rounding == "floor" and policy.align == "center":
        return _resized_in_whole_pixels(policy, image, limit)
    to_int, gain = round if policy.rounding == "round" else int, _gain(policy, image, limit)
    return max(to_int(image[0] * gain), 1), max(to_int(image[1] * gain), 1)


def _resized_in_whole_pixels(policy: LetterboxPolicy, image: Size, limit: Size) -> Size:
    """Return the resized size by integer division, as Darknet does."""
    (height, width), (rows, columns) = image, limit
    if not policy.scale_up and height <= rows and width <= columns:
        return image
    if columns * height < rows * width:
        return max(columns * height // width, 1), columns
    return rows, max(rows * width // height, 1)
