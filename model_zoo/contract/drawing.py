"""Boxes and labels on a picture, with OpenCV alone.

OpenCV 5 renders the labels with its built-in TrueType font; OpenCV 4 has ASCII strokes only and shows `?` for the
rest. The same calls serve both.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.detections import Detections

Color = tuple[int, int, int]
Image = NDArray[np.uint8]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BLACK: Color = (0, 0, 0)
_WHITE: Color = (255, 255, 255)
_SMALL = 16  # times their shorter side: smaller objects than a sixteenth of the picture get finer lines and letters
_SHADES = ((0.85, 0.95), (0.60, 1.00), (0.90, 0.70))  # (saturation, value): vivid, pale, dark


def draw(image: Image, detections: Detections, class_names: Sequence[str]) -> Image:
    """Return a copy of an RGB image (H, W, 3) with boxes, labels and scores; the best detections lie on top."""
    found = zip(detections.class_ids.tolist(), detections.scores, strict=True)
    texts = [f"{class_names[class_id]} {score:.2f}" for class_id, score in found]
    return draw_boxes(image, detections.boxes, detections.class_ids, texts)


def draw_boxes(image: Image, boxes: NDArray[np.float32], class_ids: NDArray[np.int64], texts: Sequence[str]) -> Image:
    """Return a copy of an RGB image (H, W, 3) with boxes (N, 4) and a text at each; the first lie on top."""
    canvas = np.ascontiguousarray(image).copy()
    corners, measure = _pixels(boxes, canvas), _measure(canvas, boxes)
    colors = [class_color(class_id) for class_id in class_ids.tolist()]
    last_first = range(len(corners))[::-1]
    for i in last_first:
        left, top, right, bottom = corners[i]
        cv2.rectangle(canvas, (left, top), (right, bottom), colors[i], _line_width(measure))
    for i in last_first:  # after all boxes, so that no line crosses a label
        _draw_label(canvas, texts[i], (corners[i][0], corners[i][1]), colors[i], measure)
    return canvas


def class_color(class_id: int) -> Color:
    """Return the RGB color of a class: the same for ever, neighbors far apart."""
    hue = class_id * 0.618034 % 1  # steps of the golden section never come close to an earlier hue soon
    saturation, value = _SHADES[class_id % len(_SHADES)]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def text_color(background: Color) -> Color:
    """Return black or white, whichever has the higher contrast (WCAG 2, relative luminance)."""
    linear = [(v / 255 / 12.92) if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return _BLACK if luminance > 0.179 else _WHITE


def _pixels(boxes: NDArray[np.float32], canvas: Image) -> list[tuple[int, int, int, int]]:
    """Boxes as whole pixels whose outlines lie inside the picture."""
    height, width = canvas.shape[:2]
    inside = np.clip(np.round(boxes), 0, [width - 1, height - 1] * 2).astype(int)
    return [(left, top, right, bottom) for left, top, right, bottom in inside.tolist()]


def _draw_label(canvas: Image, text: str, corner: tuple[int, int], color: Color, measure: float) -> None:
    """Write the text on a filled plate above the box's top-left corner, moved so that all of it is in the picture."""
    height, width = canvas.shape[:2]
    scale, weight, margin = _font(measure, text, width)
    (text_width, ascent), descent = cv2.getTextSize(text, _FONT, scale, weight)
    plate_width, plate_height = text_width + 2 * margin, ascent + descent + margin
    left = max(min(corner[0], width - plate_width), 0)
    top = max(min(corner[1] - plate_height, height - plate_height), 0)
    cv2.rectangle(canvas, (left, top), (left + plate_width - 1, top + plate_height - 1), color, cv2.FILLED)
    baseline = (left + margin, top + margin // 2 + ascent)
    cv2.putText(canvas, text, baseline, _FONT, scale, text_color(color), weight, cv2.LINE_AA)


def _font(measure: float, text: str, width: int) -> tuple[float, int, int]:
    """Scale, stroke weight and margin of a label; a text wider than the picture is made smaller."""
    margin = 1 + _line_width(measure)
    scale = max(0.4, measure / 1200)
    weight = 1 if scale < 0.6 else 2
    (text_width, _), _ = cv2.getTextSize(text, _FONT, scale, weight)
    room = width - 2 * margin
    return scale * min(1.0, max(room, 1) / max(text_width, 1)), weight, margin


def _line_width(measure: float) -> int:
    return max(1, round(measure / 250))


def _measure(canvas: Image, boxes: NDArray[np.float32]) -> float:
    """Return what lines and letters are measured by: the root of the picture's area, or less where boxes are small."""
    height, width = canvas.shape[:2]
    side = float((height * width) ** 0.5)
    shorter = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    return min(side, _SMALL * float(np.median(shorter))) if len(boxes) else side
