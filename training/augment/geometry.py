"""Random affine and perspective maps: their numbers, their matrix, and what they do to pixels and boxes.

A matrix is float64 (3, 3), from pixels (x, y, 1) of the canvas to those of the view, the part that is trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats, clip
from model_zoo.contract.letterbox import Size
from training.recipe import Augmentation

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """The numbers of one map.

    degrees: of the rotation. scale: factor. Of x and y: shear in degrees, translate in sides of the view, perspective
    per pixel.
    """

    degrees: float = 0.0
    scale: float = 1.0
    shear: tuple[float, float] = (0.0, 0.0)
    translate: tuple[float, float] = (0.0, 0.0)
    perspective: tuple[float, float] = (0.0, 0.0)


def draw_affine(augmentation: Augmentation, rng: Generator) -> Affine:
    """Draw each number evenly from its range."""
    a = augmentation
    high = np.array([a.perspective] * 2 + [a.degrees, a.scale[1]] + [a.shear] * 2 + [a.translate] * 2)
    low = -high
    low[3] = a.scale[0]
    drawn: list[float] = (low + (high - low) * rng.random(8)).tolist()
    perspective_x, perspective_y, degrees, scale, shear_x, shear_y, x, y = drawn
    return Affine(degrees, scale, (shear_x, shear_y), (x, y), (perspective_x, perspective_y))


def about_center(affine: Affine, canvas: Size, view: Size) -> Matrix:
    """Return the matrix that turns about the center of the canvas, which comes to the center of the view (YOLOv5, v7).

    M = T S R P C: to the center, perspective, rotation with scale, shear, and to the middle of the view and aside.
    """
    center, perspective, shear, translate = (np.eye(3) for _ in range(4))
    center[:2, 2] = -canvas[1] / 2, -canvas[0] / 2
    perspective[2, :2] = affine.perspective
    shear[0, 1], shear[1, 0] = np.tan(np.radians(affine.shear))
    translate[:2, 2] = (0.5 + affine.translate[0]) * view[1], (0.5 + affine.translate[1]) * view[0]
    return translate @ shear @ _rotation(affine) @ perspective @ center


def about_corner(affine: Affine, view: Size) -> Matrix:
    """Return the matrix that turns about the top-left corner, which then moves by the translation alone (YOLOX)."""
    shear = np.eye(3)
    shear[1, 0], shear[0, 1] = np.tan(np.radians(affine.shear))
    matrix: Matrix = shear @ _rotation(affine)
    matrix[:2, 2] = affine.translate[0] * view[1], affine.translate[1] * view[0]
    return matrix


def warp(pixels: NDArray[np.uint8], matrix: Matrix, view: Size, fill: int) -> NDArray[np.uint8]:
    """Map pixels (H, W, 3) to a view, bilinear; what comes from outside is `fill`."""
    size, border = (view[1], view[0]), (fill, fill, fill)
    if np.array_equal(matrix[2], (0, 0, 1)):
        return np.asarray(cv2.warpAffine(pixels, matrix[:2], size, borderValue=border), np.uint8)
    return np.asarray(cv2.warpPerspective(pixels, matrix, size, borderValue=border), np.uint8)


def warp_boxes(boxes: Floats, matrix: Matrix, view: Size) -> Floats:
    """Map boxes (N, 4) to those around their four mapped corners, clipped to the view; float64.

    A box that perspective puts partly behind the eye becomes empty.
    """
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    mapped = corners @ matrix[:, :2].T + matrix[:, 2]
    depth = mapped[..., 2:]
    seen = depth.min(axis=1) > 0
    points = mapped[..., :2] / np.where(depth > 0, depth, 1)
    hull = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    return clip(np.where(seen, hull, 0), view)


def _rotation(affine: Affine) -> Matrix:
    return np.vstack([cv2.getRotationMatrix2D((0, 0), affine.degrees, affine.scale), (0, 0, 1)])
