"""Recognize the layout of a network's outputs from their shapes, metadata and the values on probe images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats
from model_zoo.contract.errors import LineageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.letterbox import Size
from model_zoo.onnx_import.decoding import MAX_QUERIES, Decoding, grid_cells
from model_zoo.onnx_import.network import Arrays
from model_zoo.onnx_import.options import Layout

STRIDES: Final = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
ANCHORS: Final = (3, 2)  # per cell
NEAR_ONE: Final = 1.5  # largest coordinate of normalized boxes: they may leave the image a little
COCO: Final = 80  # classes, if nothing else is known
MAX_VALUES: Final = 100_000_000
DETECTION_ONLY: Final = "only detectors with boxes and class scores are imported"
TASKS: Final = {
    "segment": "a segmentation network, whose masks the graph contract does not carry",
    "pose": "a pose network, whose keypoints the graph contract does not carry",
    "obb": "a network of oriented boxes (OBB), whose angles the graph contract does not carry",
    "classify": "a classification network, which outputs no boxes",
}


class Outputs(NamedTuple):
    """Outputs of a network on the probe images, and what is known besides."""

    arrays: Arrays
    """Outputs by name."""
    size: Size
    """Size of the probe images."""
    classes: int | None
    """Number of class names, if they are known."""


def check_task(metadata: Mapping[str, str]) -> None:
    """Check the task in the metadata, if there is one.

    Raises:
        LineageError: It is another one than detection.
    """
    task = metadata.get("task", "").strip().lower()
    if task not in ("", "detect"):
        raise _refused(TASKS.get(task, f"a network for the task {task[:40]!r}"), "its metadata has the task")


def recognize(outputs: Outputs, layout: Layout | None) -> tuple[Decoding, list[str]]:
    """Return how to read the outputs, and the reasons.

    Raises:
        LineageError: The outputs are of another task, of an unknown layout or ambiguous. The message has the flags.
    """
    _check_values(outputs.arrays)
    decoding, reason = _by_rank(outputs, layout)
    if layout:
        reason = "as given"
    decoding, notes = _score_format(_box_format(decoding, outputs), outputs)
    _check_classes(decoding, outputs)
    return decoding, [f"layout {decoding.layout}: {reason}", *notes]


def _check_values(arrays: Arrays) -> None:
    for name, array in arrays.items():
        if array.size > MAX_VALUES:
            raise LineageError(f"output {name[:40]!r}: expected at most {MAX_VALUES:,} values; got {_show(array)}")
        if not np.isfinite(array.astype(np.float32)).all():
            raise LineageError(
                f"output {name[:40]!r}: expected finite numbers on the probe images; got NaN or infinity"
            )


def _by_rank(outputs: Outputs, layout: Layout | None) -> tuple[Decoding, str]:
    """Return the layout by the number and rank of the outputs."""
    arrays = outputs.arrays
    rows = {name: array for name, array in arrays.items() if array.ndim == 3}
    for array in arrays.values():
        if array.ndim == 4 and array.shape[1] == 32 and len(rows) >= 1:
            raise _refused(TASKS["segment"], f"it outputs mask prototypes {_show(array)}")
    if len(rows) == 1 and (labels := _labels(arrays)):
        return _triple(next(iter(rows)), *labels, outputs)
    if len(rows) == 1 and all(array.ndim in (3, 5) for array in arrays.values()):
        return _single(next(iter(rows)), outputs, layout)
    if len(rows) == 2 and (pair := _pair(rows)):
        return pair
    raise _unknown(arrays)


def _labels(arrays: Arrays) -> tuple[str, str] | None:
    """Return the names of scores and class indices, both (B, N)."""
    flat = {name: array for name, array in arrays.items() if array.ndim == 2}
    if len(arrays) != 3 or len(flat) != 2:
        return None
    labels = [name for name, array in flat.items() if _are_integers(array)]
    if len(labels) != 1:
        return None
    return next(name for name in flat if name != labels[0]), labels[0]


def _triple(boxes: str, scores: str, labels: str, outputs: Outputs) -> tuple[Decoding, str]:
    array, indices = outputs.arrays[boxes], outputs.arrays[labels]
    if array.shape[2] != 4 or array.shape[:2] != indices.shape:
        raise _unknown(outputs.arrays)
    classes = _class_count(indices, outputs)
    decoding = Decoding("boxes-scores-labels", (boxes, scores, labels), classes, array.shape[1])
    return decoding, f"{boxes[:40]} {_show(array)}, {scores[:40]} and whole numbers in {labels[:40]}"


def _pair(rows: Arrays) -> tuple[Decoding, str] | None:
    """Return the decoding of boxes (B, N, 4) and scores (B, N, C), in either order."""
    (first, a), (second, b) = rows.items()
    if a.shape[:2] != b.shape[:2] or 4 not in (a.shape[2], b.shape[2]):
        return None
    is_swapped = a.shape[2] != 4 or (b.shape[2] == 4 and "box" in second.lower())
    if a.shape[2] == b.shape[2] and ("box" in first.lower()) == ("box" in second.lower()):
        raise LineageError(
            f"expected one of the outputs {first[:40]!r} and {second[:40]!r} to be named boxes; rename it"
        )
    boxes, scores = (second, first) if is_swapped else (first, second)
    decoding = Decoding("boxes-scores", (boxes, scores), rows[scores].shape[2], a.shape[1])
    return decoding, f"{boxes[:40]} {_show(rows[boxes])} and {scores[:40]} {_show(rows[scores])}"


def _single(name: str, outputs: Outputs, layout: Layout | None) -> tuple[Decoding, str]:
    """Return the decoding of one output of rank 3."""
    array = outputs.arrays[name]
    layout, reason = (layout, "") if layout else _guess(array, outputs)
    count, columns = (array.shape[2], array.shape[1]) if layout == "v8" else array.shape[1:]
    shown = f"{name[:40]} {_show(array)}"
    if layout == "end-to-end":
        if columns != 6:
            raise LineageError(f"--layout end-to-end: expected an output (B, N, 6); got {shown}")
        classes = _class_count(array[..., 5], outputs)
        return Decoding(layout, (name,), classes, count, "xyxy"), f"{shown} {reason}"
    classes = columns - (5 if layout in ("v5", "yolox", "yolox-raw") else 4)
    if layout in ("boxes-scores", "boxes-scores-labels") or classes < 1 or not count:
        raise LineageError(f"--layout {layout}: expected other outputs; got {shown}")
    return Decoding(layout, (name,), classes, count), f"{shown} {reason}"


def _class_count(labels: NDArray[np.generic], outputs: Outputs) -> int:
    """Return the number of class names: class indices in outputs do not show how many classes there are."""
    highest = int(labels.max(initial=0))
    if outputs.classes is None:
        raise LineageError("the outputs do not show the number of classes, and the file has no names: give --names")
    if highest >= outputs.classes:
        raise LineageError(
            f"expected more than {highest} class names, as class {highest} occurs; got {outputs.classes}: give --names"
        )
    return outputs.classes


def _guess(array: NDArray[np.floating], outputs: Outputs) -> tuple[Layout, str]:
    """Return the layout of one output (B, rows, columns), and the reason."""
    rows, columns = array.shape[1:]
    if rows < columns and columns > 6:
        if outputs.classes is None and any(columns in _row_counts(outputs.size, anchors) for anchors in ANCHORS):
            raise LineageError(
                f"output {array.shape}: this is --layout v8, or --layout v5 transposed; give --layout v8, or "
                "export the file with its last two axes swapped"
            )
        return "v8", "has fewer channels than predictions"
    if columns >= 6 and rows <= MAX_QUERIES and _has_class_indices(array, outputs.size):
        if columns > 6:
            kind = "obb" if columns == 7 else "segment" if columns == 38 else "pose"
            raise _refused(TASKS[kind], f"each of its detections has {columns} numbers instead of 6")
        return "end-to-end", "has whole numbers in its last column: class indices"
    if columns >= 6 and any(rows in _row_counts(outputs.size, anchors) for anchors in ANCHORS):
        return "v5", f"has a row for each anchor of each cell at {format_size(outputs.size)}"
    if columns >= 6 and rows in _row_counts(outputs.size, 1) and columns - 4 != outputs.classes:
        return _guess_anchor_free(array, outputs)
    if columns >= 5 and _coordinates(array[..., :4]) <= NEAR_ONE:
        return "detr", "has boxes from 0 to 1"
    raise _unknown(outputs.arrays)


def _guess_anchor_free(array: NDArray[np.floating], outputs: Outputs) -> tuple[Layout, str]:
    """Distinguish layouts of one row per cell: decoded centers are close to their cells."""
    if (array[..., 4] == 1).all():
        return "v5", "has a row for each cell, and an objectness of 1"
    if outputs.classes is None and array.shape[2] - 5 != COCO:
        raise LineageError(
            f"output {_show(array)}: expected class names, to know if there is an objectness: give --names or --layout"
        )
    cells, strides = grid_cells(outputs.size)
    if len(cells) != array.shape[1]:
        return "yolox", "has a row for each cell"
    distance = np.abs(array[..., :2] - cells * strides) / strides
    is_decoded = float(np.median(distance)) < float(np.median(np.abs(array[..., :2] - 0.5)))
    if is_decoded:
        return "yolox", "has a row for each cell, with boxes in pixels"
    return "yolox-raw", "has a row for each cell, with boxes relative to it"


def _box_format(decoding: Decoding, outputs: Outputs) -> Decoding:
    """Set whether boxes have corners or centers, and pixels or shares, by their values."""
    if decoding.layout in ("v5", "yolox", "yolox-raw"):
        return decoding
    rows = outputs.arrays[decoding.outputs[0]]
    boxes = (rows.transpose(0, 2, 1) if decoding.layout == "v8" else rows)[..., :4].astype(np.float32)
    may_be_corners = decoding.layout not in ("v8", "detr")
    is_corners = decoding.boxes == "xyxy" or (may_be_corners and bool((boxes[..., 2:] >= boxes[..., :2]).all()))
    return replace(decoding, boxes="xyxy" if is_corners else "cxcywh", normalized=_coordinates(boxes) <= NEAR_ONE)


def _score_format(decoding: Decoding, outputs: Outputs) -> tuple[Decoding, list[str]]:
    """Set whether scores need a sigmoid, and refuse columns that are no scores."""
    scores = _scores(decoding, outputs.arrays)
    low, high = float(scores.min(initial=0)), float(scores.max(initial=0))
    notes = [f"boxes: {decoding.boxes}, {'from 0 to 1' if decoding.normalized else 'in pixels'}, by their values"]
    if low >= -1e-3 and high <= 1 + 1e-3:
        return decoding, notes
    if decoding.layout in ("boxes-scores", "detr"):
        return replace(decoding, logits=True), [*notes, f"scores: logits, as they are from {low:.3g} to {high:.3g}"]
    raise LineageError(
        f"expected class scores from 0 to 1; got {low:.3g} to {high:.3g} in the columns after the box. They may be "
        f"keypoints, masks or angles of a pose, segmentation or OBB network, or logits: {DETECTION_ONLY}"
    )


def _scores(decoding: Decoding, arrays: Arrays) -> Floats:
    rows, *scores = [arrays[name].astype(np.float32) for name in decoding.outputs]
    if scores:
        return scores[0]
    if decoding.layout == "v8":
        return rows[:, 4:]
    return rows[..., 4:5] if decoding.layout == "end-to-end" else rows[..., 4:]


def _check_classes(decoding: Decoding, outputs: Outputs) -> None:
    known = outputs.classes
    if known is None or known == decoding.classes:
        return
    extra = decoding.classes - known
    hint = "give other --names, or another --layout"
    if decoding.layout == "v8" and (kind := _task_of(extra)):
        hint = f"the other {extra} are probably those of {TASKS[kind]}: {DETECTION_ONLY}. For classes, give --names"
    raise LineageError(f"expected scores of {known} classes, as there are names; got {decoding.classes}: {hint}")


def _task_of(extra: int) -> str | None:
    """Return the task of networks with so many columns besides boxes and scores: an angle, masks or keypoints."""
    if extra in (1, 32):
        return "obb" if extra == 1 else "segment"
    has_points = extra > 0 and (extra % 2 == 0 or extra % 3 == 0)
    return "pose" if has_points else None


def _row_counts(size: Size, anchors: int) -> set[int]:
    """Return the numbers of rows of networks with predictions for each cell."""
    return {anchors * sum((size[0] // s) * (size[1] // s) for s in strides) for strides in STRIDES}


def _has_class_indices(array: NDArray[np.generic], size: Size) -> bool:
    """Return True for whole numbers in the sixth column. If there is a row for each cell, they may also be scores."""
    rows, columns = array.shape[1:]
    is_sure = rows not in _row_counts(size, 1) or (columns == 6 and bool(array[..., 5].any()))
    return is_sure and _are_integers(array[..., 5])


def _are_integers(values: NDArray[np.generic]) -> bool:
    numbers = values.astype(np.float64)  # padding may have the class -1
    return bool(np.equal(numbers, np.round(numbers)).all() and (numbers >= -1).all())


def _coordinates(boxes: NDArray[np.floating]) -> float:
    """Return the largest coordinate."""
    return float(np.abs(boxes).max(initial=0))


def _show(array: NDArray[np.generic]) -> str:
    return f"({', '.join(map(str, ('B', *array.shape[1:])))})"


def _refused(kind: str, reason: str) -> LineageError:
    return LineageError(f"expected a detector; got {kind} ({reason}): {DETECTION_ONLY}")


def _unknown(arrays: Arrays) -> LineageError:
    """Return an error that names the outputs, and what they probably are."""
    shown = ", ".join(f"{name[:40]} {_show(array)}" for name, array in list(arrays.items())[:8])
    ranks = sorted(array.ndim for array in arrays.values())
    hint = "give --layout, if it is one of docs/importing.md"
    if len(arrays) > 1:
        hint = "export the file with the final boxes and scores as its only outputs"
    if ranks and ranks[-1] >= 4:
        hint = "these are maps before decoding: export the file with decoded boxes"
    elif ranks == [2] and next(iter(arrays.values())).shape[1] == 7:
        hint = "these are detections of a whole batch after NMS: export the file without NMS"
    elif ranks == [2]:
        hint = f"this is probably {TASKS['classify']}"
    return LineageError(f"expected the outputs of a detector in a known layout; got {shown or 'none'}; {hint}")
