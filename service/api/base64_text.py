"""Decode files that clients send as base64 text."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import Final

from service.api.errors import BadRequest

STEP: Final = 1 << 18  # characters decoded at a time, between which other threads run
_SPACE: Final = b" \t\r\n"
_MAX_HEAD: Final = 1000


def decode_base64(text: str, where: str) -> bytes:
    """Return the bytes of base64 text, with or without line breaks, or of a `data:` URI.

    Raises:
        BadRequest: the text is something else. The message starts with `where`.
    """
    start = 0
    if text.startswith("data:"):
        head = text[:_MAX_HEAD].partition(",")[0]
        start = len(head) + 1
        if not head.endswith(";base64"):
            raise BadRequest(f"{where}: expected data:image/jpeg;base64,...; got {head[:100]!r}")
    try:
        return b"".join(_decode(text, start))
    except UnicodeEncodeError:
        raise BadRequest(
            f"{where}: expected base64 of an image file; got bytes that are no text; encode it: base64 -w0 a.jpg"
        ) from None
    except ValueError as error:
        got = text[start : start + 40]
        raise BadRequest(f"{where}: expected base64 of an image file; got {got!r} ({error})") from None


def _decode(text: str, start: int) -> Iterator[bytes]:
    """Yield the bytes of one step after the other. Each begins with the incomplete group of the one before."""
    left, is_padded = b"", False
    for begin in range(start, len(text), STEP):
        step = left + text[begin : begin + STEP].encode("ascii").translate(None, _SPACE)
        if is_padded and step:
            raise ValueError("text after the padding")
        groups = step[: len(step) // 4 * 4]
        yield binascii.a2b_base64(groups, strict_mode=True)
        left, is_padded = step[len(groups) :], is_padded or groups.endswith(b"=")
    yield binascii.a2b_base64(left, strict_mode=True)
