"""Tensors of the protocol: check datatype and shape, and convert to and from NumPy without copies.

Binary tensors are little-endian and row-major. An element of a BYTES tensor is a uint32 length and its bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.typed_json import shorten
from service.api.errors import BadRequest
from service.api.oip.messages import InputTensor

BYTES: Final = "BYTES"
DTYPES: Final[Mapping[str, np.dtype[np.generic]]] = {
    name: np.dtype(code)
    for name, code in {
        "BOOL": "?",
        **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
        **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
        **{f"FP{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    }.items()
}
MAX_DIMENSIONS: Final = 8
MAX_ELEMENTS: Final = 4096  # of a BYTES tensor
_MAX_DIMENSION: Final = 2**31 - 1
# Types of values in JSON by the kind of their dtype. Others are integers.
_JSON_TYPES: Final[Mapping[str, set[type]]] = {"b": {bool}, "f": {int, float}}


def check_shape(name: str, shape: object) -> tuple[int, ...]:
    """Return the shape of a tensor.

    Raises:
        BadRequest: it is not a list of a few positive integers.
    """
    sides = shape if isinstance(shape, list | tuple) else ()
    if 0 < len(sides) <= MAX_DIMENSIONS and all(type(side) is int and 0 < side <= _MAX_DIMENSION for side in sides):
        return tuple(sides)
    expected = f"expected a shape of 1 to {MAX_DIMENSIONS} positive integers"
    raise BadRequest(f"input {shorten(name)}: {expected}; got {shorten(shape)}")


def from_bytes(name: str, datatype: str, shape: tuple[int, ...], data: bytes | memoryview) -> InputTensor:
    """Decode a binary tensor. Numbers are a view of `data`.

    Raises:
        BadRequest: the datatype is unknown, or the size does not fit datatype and shape.
    """
    size = _size(name, datatype, shape)
    if datatype == BYTES:
        return InputTensor(name, datatype, shape, _split(name, size, memoryview(data)))
    dtype = DTYPES[datatype]
    if size * dtype.itemsize != len(data):
        expected = f"expected {size * dtype.itemsize:,} bytes for {datatype} {list(shape)}"
        raise BadRequest(f"input {shorten(name)}: {expected}; got {len(data):,}")
    return InputTensor(name, datatype, shape, np.frombuffer(data, dtype).reshape(shape))


def from_elements(name: str, shape: tuple[int, ...], elements: Sequence[bytes]) -> InputTensor:
    """Return a BYTES tensor of separate elements.

    Raises:
        BadRequest: the shape has another number of elements.
    """
    _check_count(name, _size(name, BYTES, shape), len(elements))
    return InputTensor(name, BYTES, shape, elements)


def from_values(name: str, datatype: str, shape: tuple[int, ...], values: object) -> InputTensor:
    """Return a tensor of numbers, which are a flat sequence or nested lists in the shape of the tensor.

    Raises:
        BadRequest: the datatype is unknown, or the values do not fit datatype and shape.
    """
    size = _size(name, datatype, shape)
    array = np.array(values, dtype=object)  # keeps the types of the values; ragged lists stay lists
    _check_count(name, size, array.size)
    if array.ndim > 1 and array.shape != shape:
        raise BadRequest(f"input {shorten(name)}: expected data of shape {list(shape)}; got {list(array.shape)}")
    return InputTensor(name, datatype, shape, _convert(name, datatype, array).reshape(shape))


def to_bytes(data: NDArray[np.generic]) -> memoryview:
    """Return the bytes of a contiguous tensor in this order, without a copy."""
    return data.reshape(-1).view(np.uint8).data


def _size(name: str, datatype: str, shape: tuple[int, ...]) -> int:
    if datatype not in DTYPES and datatype != BYTES:
        known = ", ".join([*DTYPES, BYTES])
        raise BadRequest(f"input {shorten(name)}: expected one of the datatypes {known}; got {shorten(datatype)}")
    size = math.prod(shape)
    if datatype == BYTES and size > MAX_ELEMENTS:
        raise BadRequest(f"input {shorten(name)}: expected at most {MAX_ELEMENTS:,} elements; got {size:,}")
    return size


def _check_count(name: str, expected: int, actual: int) -> None:
    if expected != actual:
        raise BadRequest(f"input {shorten(name)}: expected {expected:,} elements, as its shape has; got {actual:,}")


def _split(name: str, count: int, data: memoryview) -> list[bytes]:
    elements, begin = [], 0
    for index in range(count):
        if len(data) - begin < 4:
            raise BadRequest(
                f"input {shorten(name)}: expected {count:,} elements, as its shape has; the data ends at {index:,}"
            )
        (length,) = struct.unpack_from("<I", data, begin)
        begin += 4
        if length > len(data) - begin:
            left = f"{length:,} bytes; only {len(data) - begin:,} are left"
            raise BadRequest(f"input {shorten(name)}: element {index:,} should have {left}")
        elements.append(bytes(data[begin : begin + length]))
        begin += length
    if begin < len(data):
        raise BadRequest(f"input {shorten(name)}: {len(data) - begin:,} bytes follow the last of {count:,} elements")
    return elements


def _convert(name: str, datatype: str, array: NDArray[np.object_]) -> NDArray[np.generic]:
    """Convert numbers to the type of a tensor, and refuse what the type cannot hold."""
    dtype = DTYPES[datatype]
    allowed = _JSON_TYPES.get(dtype.kind, {int})
    if not {*map(type, array.flat)} <= allowed:
        expected = " or ".join(kind.__name__ for kind in sorted(allowed, key=str))
        got = next(value for value in array.flat if type(value) not in allowed)
        raise BadRequest(f"input {shorten(name)}: expected data of type {expected} for {datatype}; got {shorten(got)}")
    try:
        with np.errstate(over="ignore"):
            return array.astype(dtype)
    except OverflowError as error:
        raise BadRequest(f"input {shorten(name)}: a number is out of the range of {datatype}") from error
