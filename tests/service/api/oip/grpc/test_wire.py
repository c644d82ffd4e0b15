"""Limits on the parts of a message, which hold before anything is parsed."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("grpc", reason="needs the extra grpc")

from service.api.errors import BadRequest
from service.api.oip.grpc.codec import MAX_VALUES
from service.api.oip.grpc.protobuf import message
from service.api.oip.grpc.wire import MAX_FIELDS, MAX_INTEGERS, check_parts

Request = message("ModelInferRequest")


def request(**contents: Any) -> Any:
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 64, 64, 3], "contents": contents}
    return Request(model_name="toy", inputs=[tensor], parameters={"timeout": {"int64_param": -1}})


@pytest.mark.parametrize(
    "asked",
    [
        request(uint_contents=[200] * MAX_VALUES),
        request(int64_contents=[-1] * 1000),
        request(fp32_contents=[0.5] * 3_000_000),
        request(bytes_contents=[b"\xff" * 2_000_000] * 8),
        Request(raw_input_contents=[b"\x2a\0" * 5_000_000]),
        Request(),
    ],
)
def test_usual_messages_pass(asked: Any) -> None:
    check_parts(Request.DESCRIPTOR, asked.SerializeToString())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (Request(raw_input_contents=[b""] * (MAX_FIELDS + 1)).SerializeToString(), "10,000 fields"),
        (request(bytes_contents=[b""] * MAX_FIELDS).SerializeToString(), "10,000 fields"),
        (request(uint64_contents=[1] * (MAX_INTEGERS + 1)).SerializeToString(), "bytes of integers"),
        (Request(inputs=[{"shape": [1] * (MAX_INTEGERS + 1)}]).SerializeToString(), "bytes of integers"),
        (b"\x2a\0" * (MAX_FIELDS + 1), "10,000 fields"),  # inputs
        (b"\x78\1" * (MAX_FIELDS + 1), "10,000 fields"),  # unknown numbers
        (b"\x7b\x7c" * MAX_FIELDS, "10,000 fields"),  # unknown groups
    ],
    ids=["tensors", "elements", "integers", "shape", "inputs", "unknown", "groups"],
)
def test_messages_with_too_many_parts_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BadRequest, match=f"expected at most .*{reason}.*; send raw_input_contents"):
        check_parts(Request.DESCRIPTOR, data)


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\xff\xff", b"\x80" * 1000, b"\x0a\xff\xff\xff\xff\x7fabc", b"\x08"])
def test_damaged_bytes_are_left_to_the_parser(data: bytes) -> None:
    check_parts(Request.DESCRIPTOR, data)
