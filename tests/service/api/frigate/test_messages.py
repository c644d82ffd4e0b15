"""Messages of Frigate's ZeroMQ detector."""

from __future__ import annotations

import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model_zoo.contract.detections import Detections
from service.api.errors import BadRequest
from service.api.frigate.messages import MAX_HEADER, NO_DETECTIONS, Tensor, encode, read_header, read_tensor
from service.inference.results import ImageResult

IMAGE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


def tensor(array: NDArray[np.generic]) -> Tensor:
    frames = [
        json.dumps({"shape": array.shape, "dtype": str(array.dtype), "model_type": "x"}).encode(),
        array.tobytes(),
    ]
    return read_tensor(read_header(frames), frames)


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("scale", [None, 1, 255])
def test_layouts_and_types_give_the_same_image(channels_first: bool, scale: int | None) -> None:
    array = IMAGE if scale is None else (IMAGE / np.float32(scale)).astype(np.float32)
    array = (array.transpose(2, 0, 1) if channels_first else array)[None]
    pixels = tensor(np.ascontiguousarray(array)).pixels()
    np.testing.assert_array_equal(pixels, IMAGE)
    assert pixels.flags.c_contiguous


def test_uint8_image_is_not_copied() -> None:
    data = IMAGE.tobytes()
    assert np.shares_memory(Tensor((1, 4, 6, 3), "uint8", data).pixels(), np.frombuffer(data, np.uint8))


def test_numbers_that_are_none_are_black_or_white() -> None:
    array = np.asarray([np.nan, np.inf, -np.inf, -5, 255, 300], dtype=np.float32).reshape(1, 1, 2, 3)
    assert tensor(array).pixels().ravel().tolist() == [0, 255, 0, 0, 255, 255]
    assert not tensor(np.full((1, 1, 2, 3), np.nan, np.float32)).pixels().any()


def test_handshakes() -> None:
    asked = read_header([b'{"model_request": true, "model_name": "yolo.onnx"}'])
    assert (asked.model_request, asked.model_data, asked.shape) == (True, False, None)
    assert read_header([b'{"model_data": true, "model_name": "yolo.onnx"}', b"model"]).model_data


def header(**members: object) -> bytes:
    return json.dumps({"shape": [1, 2, 2, 3], "dtype": "uint8"} | members).encode()


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([], "got no frame"),
        ([b" " * (MAX_HEADER + 1)], "got 4,097 bytes"),
        ([b"{"], "got b'{'"),
        ([b"\xff\xfe"], "expected JSON"),
        ([b"[" * MAX_HEADER], "expected JSON"),
        ([header(dtype="float64"), bytes(12)], "expected JSON"),
        ([header(shape=[2, 2, 2, 3]), bytes(24)], "expected JSON"),
        ([header(shape=[1, 0, 2, 3]), b""], "expected JSON"),
        ([header(shape=[1, 1 << 40, 1 << 40, 3]), b""], "expected JSON"),
        ([header(shape=[1, -2, -2, 3]), bytes(12)], "expected JSON"),
        ([header(shape=[1, 2, 3, 2]), bytes(12)], "shape: expected"),
        ([b"{}", bytes(12)], "shape: expected"),
        ([header()], "one frame of 12 bytes after the header; got none"),
        ([header(), bytes(11)], "one frame of 12 bytes after the header; got 11 bytes"),
        ([header(), bytes(12), bytes(12)], "got 12 bytes and 12 bytes"),
        ([header(dtype="float32"), bytes(12)], "one frame of 48 bytes"),
    ],
)
def test_malformed_requests_are_refused(frames: list[bytes], reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        read_tensor(read_header(frames), frames)


@given(st.lists(st.binary(max_size=50) | st.just(header()) | st.just(bytes(12)), max_size=4))
def test_random_frames_are_read_or_refused(frames: list[bytes]) -> None:
    with suppress(BadRequest):
        assert read_tensor(read_header(frames), frames).pixels().shape == (2, 2, 3)


def test_answer_has_20_rows() -> None:
    boxes = np.asarray([[10, 20, 100, 50], [0, 0, 50, 25]], dtype=np.float32)
    found = Detections(boxes, np.asarray([0.9, 0.5], dtype=np.float32), np.asarray([79, 0]))
    answer = encode(ImageResult((50, 100), found, *[0.0] * 4))
    rows = np.frombuffer(answer, np.float32).reshape(20, 6)
    np.testing.assert_allclose(rows[:2], [[79, 0.9, 0.4, 0.1, 1, 1], [0, 0.5, 0, 0, 0.5, 0.5]], rtol=1e-6)
    assert not rows[2:].any()
    assert len(NO_DETECTIONS) == len(answer) == 480
