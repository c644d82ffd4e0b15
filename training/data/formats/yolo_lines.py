"""Lines of YOLO label files: a box, a polygon, or a box and its keypoints.

A line is `class cx cy width height`, or `class x1 y1 x2 y2 x3 y3 ...` for a polygon, of which the bounding box is used.
If the description has `kpt_shape: [K, D]`, K keypoints of D numbers may follow a box; they are ignored. Coordinates are
fractions of the width and height of the displayed image. Columns are separated by white space or commas.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from model_zoo.contract.typed_json import shorten
from training.data.formats.raw_labels import MAX_FRACTION, ObjectRow
from training.data.validation.findings import LabelError

BOX_COLUMNS = 5
_SEPARATORS = re.compile(r"[\s,]+")
_DECIMAL_COMMA = re.compile(r"\d,\d")


def parse_line(image: int, text: str, line: int, classes: int, keypoint_columns: int | None = None) -> ObjectRow | None:
    """Return the object of one line, or None for a blank line.

    Args:
        image: Row of the image.
        text: The line.
        line: Its number.
        classes: Number of classes.
        keypoint_columns: Columns of the keypoints of an object, None if the description does not declare them.

    Raises:
        LabelError: The line is invalid.
    """
    columns = split_columns(text)
    if not columns:
        return None
    class_id, *numbers = to_numbers(columns)
    _check_columns(columns, numbers, keypoint_columns)
    if keypoint_columns:
        numbers = numbers[:4]
    if class_id not in range(classes):
        message = f"class: expected an integer from 0 to {classes - 1}; got {columns[0]}; correct it or add its name"
        raise LabelError("class-range", message)
    if max(map(abs, numbers)) > MAX_FRACTION:
        message = f"expected fractions of the image size, from 0 to 1; got {shorten(' '.join(columns[1:]))}"
        raise LabelError("box-not-normalized", f"{message}; divide pixels by width and height")
    return ObjectRow(image, int(class_id), _to_xyxy(numbers), line=line)


def split_columns(text: str) -> list[str]:
    """Split a line at white space. Commas separate columns too, unless they can be decimal commas."""
    columns = text.split()
    if columns and "," in text and ("." in text or "," in columns[0]):
        columns = [column for column in _SEPARATORS.split(text) if column]
    return columns


def to_numbers(columns: Sequence[str]) -> list[float]:
    """Convert columns to numbers.

    Raises:
        LabelError: A column is not a finite number.
    """
    try:
        numbers = [float(column) for column in columns]
    except ValueError:
        line = " ".join(columns)
        fix = "write decimal points" if _DECIMAL_COMMA.search(line) else "correct the line"
        raise LabelError("number", f"expected numbers; got {shorten(line)}; {fix}") from None
    if not all(map(math.isfinite, numbers)):
        raise LabelError("number", f"expected finite numbers; got {shorten(' '.join(columns))}; correct the line")
    return numbers


def _check_columns(columns: Sequence[str], numbers: Sequence[float], keypoint_columns: int | None) -> None:
    """Raise LabelError if the number of columns is wrong, or if they are keypoints that nothing declares."""
    count = len(columns)
    if keypoint_columns:
        if count not in (BOX_COLUMNS, expected := BOX_COLUMNS + keypoint_columns):
            text = f"expected a box in {BOX_COLUMNS} columns, or {expected} with the keypoints of kpt_shape"
            raise LabelError("columns", f"{text}; got {count} columns; correct the line or kpt_shape")
    elif keypoint_columns is None and _are_keypoints(numbers):
        text = f"{count} columns look like a box and {(count - BOX_COLUMNS) // 3} keypoints"
        raise LabelError("columns", f"{text}; add kpt_shape: [{(count - BOX_COLUMNS) // 3}, 3] to the description")
    elif count != BOX_COLUMNS and (count < 7 or count % 2 == 0):
        text = "expected class cx cy width height, or class and at least three points of a polygon"
        raise LabelError("columns", f"{text}; got {count} columns; {_advice(count)}")


def _advice(count: int) -> str:
    if count == BOX_COLUMNS + 1:
        return "remove the last one if it is a score"
    return "correct the line, or add kpt_shape to the description if keypoints follow" if count > 6 else "correct it"


def _are_keypoints(numbers: Sequence[float]) -> bool:
    """Return whether numbers are a box and keypoints (x, y, visibility 0, 1 or 2) inside it, which no polygon is."""
    box, points = numbers[:4], numbers[4:]
    if not points or len(points) % 3 or not set(points[2::3]) <= {0, 1, 2}:
        return False
    return all(v == 0 or is_in_box(box, x, y) for x, y, v in zip(points[::3], points[1::3], points[2::3], strict=True))


def is_in_box(box: Sequence[float], x: float, y: float) -> bool:
    """Return whether a point lies in a box (cx, cy, width, height), up to rounding."""
    cx, cy, width, height = box
    return abs(x - cx) <= width / 2 + 0.01 and abs(y - cy) <= height / 2 + 0.01


def _to_xyxy(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    if len(numbers) > 4:
        xs, ys = numbers[::2], numbers[1::2]
        return min(xs), min(ys), max(xs), max(ys)
    cx, cy, width, height = numbers
    return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2
