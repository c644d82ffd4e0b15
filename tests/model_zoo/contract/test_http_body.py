"""Bodies of HTTP responses: whole, too large, late and cut."""

from __future__ import annotations

import time
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

import pytest

from model_zoo.contract.errors import ImageError, ImageTooLarge
from model_zoo.contract.http_body import CHUNK, read_body

BODY = bytes(range(256)) * (CHUNK // 100)  # of several chunks


class Wire:
    """A socket that has received everything."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> BytesIO:
        return BytesIO(self.data)


def response(headers: bytes, body: bytes = BODY) -> HTTPResponse:
    wire: Any = Wire(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n" + body)
    received = HTTPResponse(wire)
    received.begin()
    return received


@pytest.mark.parametrize("headers", [b"Content-Length: %d\r\n" % len(BODY), b""])
def test_body_is_returned(headers: bytes) -> None:
    assert read_body(response(headers), len(BODY), time.monotonic() + 60) == BODY


def test_length_of_the_header_is_not_trusted() -> None:
    assert read_body(response(b"Content-Length: 10\r\n"), len(BODY), time.monotonic() + 60) == BODY[:10]
    with pytest.raises(ImageError, match="the connection was cut, 7 bytes are missing"):
        read_body(response(b"Content-Length: %d\r\n" % (len(BODY) + 7)), len(BODY), time.monotonic() + 60)


def test_body_over_the_limit_is_refused() -> None:
    with pytest.raises(ImageTooLarge, match=f"expected at most {len(BODY) - 1:,} bytes"):
        read_body(response(b""), len(BODY) - 1, time.monotonic() + 60)


def test_late_body_is_given_up() -> None:
    with pytest.raises(ImageError, match=f"not received in time, only {CHUNK:,} bytes"):
        read_body(response(b""), len(BODY), time.monotonic() - 1)
