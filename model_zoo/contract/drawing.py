"""Draw boxes and labels on an image with OpenCV.

OpenCV 5 renders labels with its built-in TrueType font. OpenCV 4 only has ASCII strokes and draws `?` for other
characters. The same calls work with both.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.detections import Detections

Color = tuple[int, int, int]
Image = NDArray[np.uint8]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BLACK: Color = (0, 0, 0)
_WHITE: Color = (255, 255, 255)
_SMALL = 16  # objects smaller than a sixteenth of the image get thinner lines and smaller letters
_SHADES = ((0.85, 0.95), (0.60, 1.00), (0.90, 0.70))  # (saturation, value): vivid, pale, dark


def draw(image: Image, detections: Detections, class_names: Sequence[str] | Mapping[int, str]) -> Image:
    """Return a copy of an RGB image (H, W, 3) with boxes, labels, tracks and scores, the best detections on top."""
    rows = zip(detections.class_ids.tolist(), detections.tracks(), detections.scores, strict=True)
    texts = [f"{class_names[i]}{'' if track is None else f' #{track}'} {score:.2f}" for i, track, score in rows]
    return draw_boxes(image, detections.boxes, detections.class_ids, texts)


def draw_boxes(image: Image, boxes: NDArray[np.float32], class_ids: NDArray[np.int64], texts: Sequence[str]) -> Image:
    """Return a copy of an RGB image (H, W, 3) with boxes (N, 4) and their texts, the first ones on top."""
    return draw_colored(image, boxes, [class_color(class_id) for class_id in class_ids.tolist()], texts)


def draw_colored(image: Image, boxes: NDArray[np.float32], colors: Sequence[Color], texts: Sequence[str]) -> Image:
    """Return a copy of an image with boxes in their colors. A box with an empty text gets no label."""
    canvas = np.ascontiguousarray(image).copy()
    corners, measure = _pixels(boxes, canvas), _measure(canvas, boxes)
    last_first = range(len(corners))[::-1]
    for i in last_first:
        left, top, right, bottom = corners[i]
        cv2.rectangle(canvas, (left, top), (right, bottom), colors[i], _line_width(measure))
    for i in last_first:  # after all boxes, so that no line crosses a label
        if texts[i]:
            _draw_label(canvas, texts[i], (corners[i][0], corners[i][1]), colors[i], measure)
    return canvas


def class_color(class_id: int) -> Color:
    """Return the fixed RGB color of a class. Neighboring classes have very different colors."""
    hue = class_id * 0.618034 % 1  # golden-section steps keep consecutive hues far apart
    saturation, value = _SHADES[class_id % len(_SHADES)]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def text_color(background: Color) -> Color:
    """Return black or white, whichever has the higher contrast (WCAG 2, relative luminance)."""
    linear = [(v / 255 / 12.92) if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return _BLACK if luminance > 0.179 else _WHITE


def _pixels(boxes: NDArray[np.float32], canvas: Image) -> list[tuple[int, int, int, int]]:
    """Round boxes to whole pixels and clip their outlines to the image."""
    height, width = canvas.shape[:2]
    inside = np.clip(np.round(boxes), 0, [width - 1, height - 1] * 2).astype(int)
    return [(left, top, right, bottom) for left, top, right, bottom in inside.tolist()]


def _draw_label(canvas: Image, text: str, corner: tuple[int, int], color: Color, measure: float) -> None:
    """Draw the text on a filled rectangle above the top-left corner of the box, moved to fit into the image."""
    height, width = canvas.shape[:2]
    scale, weight, margin = _font(measure, text, width)
    (text_width, ascent), descent = cv2.getTextSize(text, _FONT, scale, weight)
    label_width, label_height = text_width + 2 * margin, ascent + descent + margin
    left = max(min(corner[0], width - label_width), 0)
    top = max(min(corner[1] - label_height, height - label_height), 0)
    cv2.rectangle(canvas, (left, top), (left + label_width - 1, top + label_height - 1), color, cv2.FILLED)
    baseline = (left + margin, top + margin // 2 + ascent)
    cv2.putText(canvas, text, baseline, _FONT, scale, text_color(color), weight, cv2.LINE_AA)


def _font(measure: float, text: str, width: int) -> tuple[float, int, int]:
    """Return scale, stroke weight and margin of a label. Text wider than the image is scaled down."""
    margin = 1 + _line_width(measure)
    scale = max(0.4, measure / 1200)
    weight = 1 if scale < 0.6 else 2
    (text_width, _), _ = cv2.getTextSize(text, _FONT, scale, weight)
    max_width = width - 2 * margin
    return scale * min(1.0, max(max_width, 1) / max(text_width, 1)), weight, margin


def _line_width(measure: float) -> int:
    return max(1, round(measure / 250))


def _measure(canvas: Image, boxes: NDArray[np.float32]) -> float:
    """Return the length that lines and letters scale with: the root of the image area, or less for small boxes."""
    height, width = canvas.shape[:2]
    side = float((height * width) ** 0.5)
    shorter = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    return min(side, _SMALL * float(np.median(shorter))) if len(boxes) else side
