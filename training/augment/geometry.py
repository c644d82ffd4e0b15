"""Random affine and perspective transforms of pixels and boxes.

A matrix is float64 (3, 3) and maps canvas pixels (x, y, 1) to pixels of the view, the part that is trained on.
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
    """Parameters of one transform."""

    degrees: float = 0.0
    """Rotation in degrees."""
    scale: float = 1.0
    """Scale factor."""
    shear: tuple[float, float] = (0.0, 0.0)
    """Shear of x and y in degrees."""
    translate: tuple[float, float] = (0.0, 0.0)
    """Translation of x and y in sides of the view."""
    perspective: tuple[float, float] = (0.0, 0.0)
    """Perspective of x and y per pixel."""


def draw_affine(augmentation: Augmentation, rng: Generator) -> Affine:
    """Draw each parameter uniformly from its range."""
    a = augmentation
    high = np.array([a.perspective] * 2 + [a.degrees, a.scale[1]] + [a.shear] * 2 + [a.translate] * 2)
    low = -high
    low[3] = a.scale[0]
    draws: list[float] = (low + (high - low) * rng.random(8)).tolist()
    perspective_x, perspective_y, degrees, scale, shear_x, shear_y, x, y = draws
    return Affine(degrees, scale, (shear_x, shear_y), (x, y), (perspective_x, perspective_y))


def about_center(affine: Affine, canvas: Size, view: Size) -> Matrix:
    """Return the matrix that transforms about the canvas center and maps it to the view center (YOLOv5, v7).

    M = T S R P C: center, perspective, rotation with scale, shear, and translation to the view.
    """
    center, perspective, shear, translate = (np.eye(3) for _ in range(4))
    center[:2, 2] = -canvas[1] / 2, -canvas[0] / 2
    perspective[2, :2] = affine.perspective
    shear[0, 1], shear[1, 0] = np.tan(np.radians(affine.shear))
    translate[:2, 2] = (0.5 + affine.translate[0]) * view[1], (0.5 + affine.translate[1]) * view[0]
    return translate @ shear @ _rotation(affine) @ perspective @ center


def about_corner(affine: Affine, view: Size) -> Matrix:
    """Return the matrix that transforms about the top-left corner and then translates (YOLOX)."""
    shear = np.eye(3)
    shear[1, 0], shear[0, 1] = np.tan(np.radians(affine.shear))
    matrix: Matrix = shear @ _rotation(affine)
    matrix[:2, 2] = affine.translate[0] * view[1], affine.translate[1] * view[0]
    return matrix


def warp(pixels: NDArray[np.uint8], matrix: Matrix, view: Size, fill: int) -> NDArray[np.uint8]:
    """Transform pixels (H, W, 3) with bilinear interpolation, filling the outside with `fill`.

    OpenCV warps four channels in 0.4 of the time of three, to the same values.
    """
    size, border, padded = (view[1], view[0]), (fill, fill, fill, fill), cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    if np.array_equal(matrix[2], (0, 0, 1)):
        warped = cv2.warpAffine(padded, matrix[:2], size, borderValue=border)
    else:
        warped = cv2.warpPerspective(padded, matrix, size, borderValue=border)
    return np.asarray(cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), np.uint8)


def warp_boxes(boxes: Floats, matrix: Matrix, view: Size) -> Floats:
    """Return the boxes (N, 4) around the four transformed corners of each box, clipped to the view, as float64.

    A box that perspective moves partly behind the viewpoint becomes empty.
    """
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    mapped = corners @ matrix[:, :2].T + matrix[:, 2]
    depth = mapped[..., 2:]
    visible = depth.min(axis=1) > 0
    points = mapped[..., :2] / np.where(depth > 0, depth, 1)
    hull = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    return clip(np.where(visible, hull, 0), view)


def _rotation(affine: Affine) -> Matrix:
    return np.vstack([cv2.getRotationMatrix2D((0, 0), affine.degrees, affine.scale), (0, 0, 1)])
