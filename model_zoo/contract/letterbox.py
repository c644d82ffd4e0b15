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

    align: `center` (YOLOv3, v4, v5, v6, v7), `top_left` (YOLOX) or `stretch` (YOLOv1, v2).
    rounding: of the resized size; `round` (v5, v6, v7) or `floor` (YOLOX; Darknet, with the center).
    fill: gray value of the border. scale_up: whether images smaller than the input are enlarged.
    """

    align: Literal["center", "top_left", "stretch"] = "center"
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
    gain = _gain(policy, image, canvas)
    if policy.align == "top_left":
        return Geometry(image, canvas, _resized(policy, image, gain), (0, 0), (gain, gain), (0.0, 0.0))
    if policy.rounding == "floor":
        return _plan_in_whole_pixels(policy, image, canvas)
    resized = _resized(policy, image, gain)
    corner = (round((canvas[0] - resized[0]) / 2 - 0.1), round((canvas[1] - resized[1]) / 2 - 0.1))
    offset = ((canvas[0] - image[0] * gain) / 2, (canvas[1] - image[1] * gain) / 2)
    return Geometry(image, canvas, resized, corner, (gain, gain), offset)


def smallest_canvas(policy: LetterboxPolicy, image: Size, limit: Size, stride: int) -> Size:
    """Cut whole strides off the border that the image has on `limit`, and return the canvas that is left.

    The image keeps its size, and sides stay multiples of `stride` where those of `limit` are. This is the rectangular
    inference of the YOLOv5 lineage, except that a side keeps one stride more where the exact size of the image, before
    rounding, needs it. A stretched image has no border: its canvas is `limit`.
    """
    if policy.align == "stretch":
        return limit
    gain = _gain(policy, image, limit)
    exact = (image[0] * gain - 1e-6, image[1] * gain - 1e-6)  # less what floats add to a whole number
    needs = (max(whole, side) for whole, side in zip(_resized(policy, image, gain), exact, strict=True))
    height, width = (bound - int(bound - need) // stride * stride for bound, need in zip(limit, needs, strict=True))
    return height, width


def apply(image: NDArray[np.uint8], geometry: Geometry, fill: int) -> NDArray[np.uint8]:
    """Resize `image` (H, W, 3) and lay it on its canvas, bilinear, border `fill`."""
    height, width = geometry.resized
    if image.shape[:2] != geometry.resized:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]  # OpenCV forgets the dtype
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


def _plan_in_whole_pixels(policy: LetterboxPolicy, image: Size, canvas: Size) -> Geometry:
    """Place an image as Darknet does: whole-number division, and boxes are undone with the whole-pixel sizes."""
    (height, width), (rows, columns) = image, canvas
    if not policy.scale_up and height <= rows and width <= columns:
        resized = image
    elif columns * height < rows * width:
        resized = (max(columns * height // width, 1), columns)
    else:
        resized = (rows, max(rows * width // height, 1))
    corner = ((rows - resized[0]) // 2, (columns - resized[1]) // 2)
    scale = (resized[0] / height, resized[1] / width)
    return Geometry(image, canvas, resized, corner, scale, (float(corner[0]), float(corner[1])))


def _gain(policy: LetterboxPolicy, image: Size, canvas: Size) -> float:
    gain = min(canvas[0] / image[0], canvas[1] / image[1])
    return gain if policy.scale_up else min(gain, 1.0)


def _resized(policy: LetterboxPolicy, image: Size, gain: float) -> Size:
    whole = round if policy.rounding == "round" else int
    return max(whole(image[0] * gain), 1), max(whole(image[1] * gain), 1)
