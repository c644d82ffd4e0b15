"""Decode files that clients send as base64 text."""

from __future__ import annotations

import binascii

from service.api.errors import BadRequest

_SPACE = b" \t\r\n"


def decode_base64(text: str, where: str) -> bytes:
    """Return the bytes of base64 text, with or without line breaks, or of a `data:` URI.

    Raises:
        BadRequest: the text is something else. The message starts with `where`.
    """
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise BadRequest(f"{where}: expected data:image/jpeg;base64,...; got {head[:100]!r}")
    try:
        return binascii.a2b_base64(text.encode("ascii").translate(None, _SPACE), strict_mode=True)
    except ValueError as error:
        raise BadRequest(f"{where}: expected base64 of an image file; got {text[:40]!r} ({error})") from None
