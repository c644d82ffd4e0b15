from __future__ import annotations

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.onnx_import.recognition import Outputs, check_task, recognize

SIZE = (64, 64)  # 64 + 16 + 4 = 84 cells
RNG = np.random.default_rng(0)


def uniform(*shape: int, scale: float = 60.0) -> np.ndarray:
    """Return boxes up to `scale` in the first four columns, and scores in the others."""
    values = RNG.random((2, *shape)).astype(np.float32)
    values[..., :4] *= scale
    return values


def columns(rows: np.ndarray) -> np.ndarray:
    return rows.transpose(0, 2, 1)


def layout_of(array: np.ndarray, classes: int | None = None) -> str:
    return recognize(Outputs({"output": array}, SIZE, classes), None)[0].layout


def test_layouts_are_distinguished_by_shape_and_values() -> None:
    assert layout_of(columns(uniform(84, 7))) == "v8"
    assert layout_of(uniform(84 * 3, 8)) == "v5"
    assert layout_of(columns(uniform(84 * 3, 8)), 4) == "v8"
    with pytest.raises(LineageError, match="or --layout v5 transposed"):
        layout_of(columns(uniform(84 * 3, 8)))
    assert layout_of(uniform(50, 7, scale=1.0)) == "detr"
    ones = uniform(84, 8)
    ones[..., 4] = 1
    assert layout_of(ones) == "v5"


def test_rows_of_cells_are_decoded_if_their_centers_are_close_to_the_cells() -> None:
    raw = uniform(84, 8, scale=1.0)
    assert layout_of(raw, 3) == "yolox-raw"
    cells = [(x, y, s) for s in (8, 16, 32) for y in range(64 // s) for x in range(64 // s)]
    x, y, stride = np.asarray(cells, dtype=np.float32).T
    decoded = raw.copy()
    decoded[..., 0], decoded[..., 1] = (raw[..., 0] + x) * stride, (raw[..., 1] + y) * stride
    assert layout_of(decoded, 3) == "yolox"
    with pytest.raises(LineageError, match="give --names or --layout"):
        layout_of(decoded)


def test_one_class_is_no_class_index() -> None:
    """A network of one class has rows of six numbers, as end-to-end networks do."""
    assert layout_of(uniform(84 * 3, 6)) == "v5"
    finished = uniform(20, 6)  # as many as there are cells of the strides 16 and 32
    finished[..., 5] = RNG.integers(0, 3, (2, 20))
    assert layout_of(finished, 3) == "end-to-end"
    finished[..., 5] = 0
    assert layout_of(finished, 1) == "yolox"
    scores = uniform(84, 8)
    scores[..., 5] = 1
    assert layout_of(scores, 3) == "yolox"
    finished[..., 5] = -1  # padding
    assert layout_of(finished[:, :5], 3) == "end-to-end"


def test_class_indices_beyond_the_names_are_refused() -> None:
    finished = uniform(30, 6)
    finished[..., 5] = 7
    with pytest.raises(LineageError, match="more than 7 class names"):
        layout_of(finished, 3)


def test_given_layout_must_fit() -> None:
    with pytest.raises(LineageError, match=r"--layout end-to-end: expected an output \(B, N, 6\)"):
        recognize(Outputs({"output": uniform(84, 8)}, SIZE, None), "end-to-end")
    decoding, notes = recognize(Outputs({"output": uniform(84, 8)}, SIZE, None), "yolox-raw")
    assert (decoding.layout, decoding.classes, notes[0]) == ("yolox-raw", 3, "layout yolox-raw: as given")


def test_boxes_have_corners_only_if_all_are_ordered() -> None:
    boxes = np.sort(RNG.random((2, 50, 2, 2)).astype(np.float32), axis=2).reshape(2, 50, 4)
    arrays = {"boxes": boxes * 64, "scores": RNG.random((2, 50, 3)).astype(np.float32)}
    decoding, _ = recognize(Outputs(arrays, SIZE, None), None)
    assert (decoding.boxes, decoding.normalized, decoding.needs_nms) == ("xyxy", False, False)
    arrays["boxes"] = boxes[..., ::-1]
    decoding, _ = recognize(Outputs(arrays, SIZE, None), None)
    assert (decoding.boxes, decoding.normalized) == ("cxcywh", True)


def test_boxes_are_found_by_name_if_there_are_four_classes() -> None:
    arrays = {name: RNG.random((2, 50, 4)).astype(np.float32) for name in ("logits", "pred_boxes")}
    assert recognize(Outputs(arrays, SIZE, None), None)[0].outputs == ("pred_boxes", "logits")
    arrays["other"] = arrays.pop("pred_boxes")
    with pytest.raises(LineageError, match="to be named boxes"):
        recognize(Outputs(arrays, SIZE, None), None)


def test_maps_beside_decoded_rows_are_ignored() -> None:
    arrays = {"output": uniform(84 * 3, 8), "map": np.zeros((2, 3, 8, 8, 8), dtype=np.float32)}
    assert recognize(Outputs(arrays, SIZE, None), None)[0].outputs == ("output",)


def test_only_detection_is_imported() -> None:
    check_task({})
    check_task({"task": "detect"})
    check_task({"task": ""})
    with pytest.raises(LineageError, match="pose network, whose keypoints"):
        check_task({"task": "pose"})
