"""Limits on the parts of a message, checked before it is parsed.

Parsed messages take far more memory than their bytes: an empty part of 2 bytes takes 80.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

from service.api.errors import BadRequest

MAX_FIELDS: Final = 10_000
MAX_INTEGERS: Final = 10_000_000  # bytes of integers in lists, most of which have 1 or 2
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_INTEGERS: Final = (
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
)


def check_parts(kind: Any, data: bytes) -> None:
    """Check the bytes of a message whose descriptor is `kind`. Bytes that are no message pass.

    Raises:
        BadRequest: there are too many fields or integers.
    """
    integers = 0
    try:
        for number, size in enumerate(_fields(kind, memoryview(data))):
            integers += size
            if number >= MAX_FIELDS:
                raise BadRequest(f"expected at most {MAX_FIELDS:,} fields in a message; send raw_input_contents")
            if integers > MAX_INTEGERS:
                raise BadRequest(f"expected at most {MAX_INTEGERS:,} bytes of integers; send raw_input_contents")
    except IndexError:  # cut short, as the parser reports
        return


def _fields(kind: Any, data: memoryview) -> Iterator[int]:
    """Yield the size of the list of integers in each field, also of nested messages. It is 0 for other fields."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        if tag & 7 == _DELIMITED:
            size, at = _read_varint(data, at)
            yield from _list_or_message(kind.fields_by_number.get(tag >> 3), data[at : at + size])
            at += size
        else:
            at = _read_varint(data, at)[1] if tag & 7 == _VARINT else at + {_FIXED64: 8, _FIXED32: 4}.get(tag & 7, 0)
            yield 0


def _list_or_message(field: Any, content: memoryview) -> Iterator[int]:
    yield len(content) if field is not None and field.type in _INTEGERS else 0
    if field is not None and field.message_type:
        yield from _fields(field.message_type, content)


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return an integer of up to ten bytes, and where the next one starts."""
    value = 0
    for shift in range(0, 70, 7):
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            break
    return value, at
