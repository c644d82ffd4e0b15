"""Draw the detections of two models on one image side by side, with the differences in color."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import cv2
import numpy as np

from model_zoo.contract.detection_diff import DEFAULT_LIMITS, DetectionPair, Difference, DiffLimits
from model_zoo.contract.detections import Detections
from model_zoo.contract.drawing import Color, Image, draw_colored

MAX_SIDE: Final = 640  # pixels of each half
GAP: Final = 8
COLORS: Final[Mapping[Difference, Color]] = {
    "same": (150, 150, 150),
    "moved": (245, 158, 11),
    "rescored": (59, 130, 246),
    "lost": (220, 38, 38),
    "found": (22, 163, 74),
}


def draw_differences(
    image: Image,
    first: Detections,
    second: Detections,
    pairs: Sequence[DetectionPair],
    limits: DiffLimits = DEFAULT_LIMITS,
) -> Image:
    """Return a sheet of an RGB image (H, W, 3) with the first detections on the left, and the second on the right.

    Detections without a difference are gray and have no label.
    """
    scale = min(1.0, MAX_SIDE / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    kinds = [(pair, pair.differences(limits)[0]) for pair in pairs]
    left = {pair.first: (pair.label, kind) for pair, kind in kinds if pair.first is not None}
    right = {pair.second: (pair.label, kind) for pair, kind in kinds if pair.second is not None}
    gap = np.full((small.shape[0], GAP, 3), 255, dtype=np.uint8)
    return np.hstack([_draw_half(small, first, scale, left), gap, _draw_half(small, second, scale, right)])


def _draw_half(
    image: Image, detections: Detections, scale: float, kinds: Mapping[int, tuple[str, Difference]]
) -> Image:
    ordered = [(kinds[i], score) for i, score in enumerate(detections.scores.tolist())]
    texts = ["" if kind == "same" else f"{label} {score:.2f}" for (label, kind), score in ordered]
    return draw_colored(image, detections.boxes * np.float32(scale), [COLORS[kind] for (_, kind), _ in ordered], texts)
