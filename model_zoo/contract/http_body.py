"""Receive the body of an HTTP response within limits of size and time."""

from __future__ import annotations

import time
from http.client import HTTPResponse
from typing import Final

from model_zoo.contract.errors import ImageError, ImageTooLarge

CHUNK: Final = 65_536


def read_body(response: HTTPResponse, max_bytes: int, deadline: float) -> bytes:
    """Return the body. Its length header is not trusted. `deadline` is a time on the monotonic clock.

    Raises:
        ImageTooLarge: It has more bytes.
        ImageError: It is not received in time, or not to its end.
    """
    body = bytearray()
    while chunk := response.read1(CHUNK):
        body += chunk
        if len(body) > max_bytes:
            raise ImageTooLarge(f"expected at most {max_bytes:,} bytes; got more")
        if time.monotonic() > deadline:
            raise ImageError(f"not received in time, only {len(body):,} bytes")
    if response.length:
        raise ImageError(f"the connection was cut, {response.length:,} bytes are missing")
    return bytes(body)
