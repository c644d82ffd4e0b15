"""Tensors of the protocol: views of the data, and one clear error for everything that does not fit."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from service.api.errors import BadRequest
from service.api.oip.tensors import DTYPES, check_shape, from_bytes, from_elements, from_values, to_bytes

NUMBERS = sorted(DTYPES)


@settings(max_examples=40)
@given(st.sampled_from(NUMBERS).flatmap(lambda name: st.tuples(st.just(name), arrays(DTYPES[name], array_shapes()))))
def test_numbers_survive_a_round_trip_without_a_copy(case: tuple[str, Any]) -> None:
    datatype, array = case
    data = to_bytes(array)
    assert np.shares_memory(np.frombuffer(data, np.uint8), array)
    tensor = from_bytes("x", datatype, array.shape, data)
    assert isinstance(tensor.data, np.ndarray)
    assert np.shares_memory(tensor.data, array)
    np.testing.assert_array_equal(tensor.data, array)


def test_tensors_at_odd_offsets_are_views_too() -> None:
    body = b"x" + struct.pack("<3f", 1, 2, 3)
    tensor = from_bytes("x", "FP32", (3,), memoryview(body)[1:])
    assert [*map(float, tensor.data)] == [1, 2, 3]  # type: ignore[arg-type]
    assert np.shares_memory(np.asarray(tensor.data), np.frombuffer(body, np.uint8))


def test_empty_outputs_have_no_bytes() -> None:
    assert bytes(to_bytes(np.empty((1, 0, 6), np.float32))) == b""


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=9), min_size=1, max_size=5))
def test_elements_survive_a_round_trip(elements: list[bytes]) -> None:
    data = b"".join(struct.pack("<I", len(element)) + element for element in elements)
    assert from_bytes("x", "BYTES", (len(elements),), data).data == elements


@settings(max_examples=40)
@given(
    st.sampled_from([*NUMBERS, "BYTES"]), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.binary(max_size=64)
)
def test_random_bytes_are_decoded_or_refused(datatype: str, shape: list[int], data: bytes) -> None:
    with suppress(BadRequest):
        assert from_bytes("x", datatype, check_shape("x", shape), data).shape == (*shape,)


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "reason"),
    [
        ("FP32", (2,), b"\0" * 4, r"expected 8 bytes for FP32 \[2\]; got 4"),
        ("UINT8", (2**30, 2**30, 2**30), b"\0", "got 1$"),
        ("FP8", (1,), b"\0", "expected one of the datatypes BOOL, .*, BYTES; got 'FP8'"),
        ("BYTES", (2,), b"\0" * 4, "expected 2 elements, as its shape has; the data ends at 1"),
        ("BYTES", (1,), b"\xff\xff\xff\xff...", "element 0 should have 4,294,967,295 bytes; only 3 are left"),
        ("BYTES", (1,), b"\0\0\0\0left", "4 bytes follow the last of 1 elements"),
        ("BYTES", (2**20,), b"\0" * 2**22, "expected at most 4,096 elements; got 1,048,576"),
    ],
)
def test_what_does_not_fit_is_refused(datatype: str, shape: tuple[int, ...], data: bytes, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        from_bytes("x", datatype, shape, data)


@pytest.mark.parametrize(
    "shape", [[], [0], [-1, 3], [True], [1.0], ["1"], "11", None, {}, [1] * 9, [2**31], [10**4000], [[1]]]
)
def test_odd_shapes_are_refused(shape: object) -> None:
    with pytest.raises(BadRequest, match="expected a shape of 1 to 8 positive integers; got ") as caught:
        check_shape("x", shape)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("values", [[1, 2, 3, 4], [[1, 2], [3, 4]]])
def test_values_are_flat_or_nested(values: object) -> None:
    tensor = from_values("x", "UINT8", (2, 2), values)
    assert np.asarray(tensor.data).tolist() == [[1, 2], [3, 4]]
    assert np.asarray(tensor.data).dtype == np.uint8


@pytest.mark.parametrize(
    ("datatype", "values", "reason"),
    [
        ("UINT8", [1, 256], "out of the range of UINT8"),
        ("UINT8", [1, -1], "out of the range of UINT8"),
        ("UINT8", [1, 10**400], "out of the range of UINT8"),
        ("UINT8", [1, 1.5], "expected data of type int for UINT8; got 1.5"),
        ("UINT8", [1, True], "got True"),
        ("FP32", [1, "1"], "expected data of type float or int for FP32; got '1'"),
        ("FP32", [1, None], "got None"),
        ("FP32", [1, 10**400], "out of the range of FP32"),
        ("FP32", [[1, 2], [3]], "got "),
        ("FP32", [1, 2, 3], "expected 2 elements, as its shape has; got 3"),
        ("FP32", [[1], [2]], r"expected data of shape \[2\]; got \[2, 1\]"),
        ("FP32", {"a": 1}, "expected 2 elements"),
        ("BOOL", [True, 1], "expected data of type bool for BOOL; got 1"),
        ("FP33", [1, 2], "expected one of the datatypes"),
    ],
)
def test_values_of_other_types_are_refused(datatype: str, values: object, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        from_values("x", datatype, (2,), values)


def test_the_number_of_elements_fits_the_shape() -> None:
    assert from_elements("x", (2,), [b"a", b"b"]).data == [b"a", b"b"]
    with pytest.raises(BadRequest, match="expected 3 elements, as its shape has; got 2"):
        from_elements("x", (3,), [b"a", b"b"])
