"""Content encodings of inferences: gzip and deflate, within limits of memory, and off the event loop.

Answers are compressed if the client asks for it. Some clients always ask and then decompress nothing but inferences, so
no other answer is ever compressed.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Mapping
from typing import Final

from service.api.errors import BadRequest, BodyTooLarge, UnsupportedBody
from service.inference.memory import Reservation

WINDOW_BITS: Final[Mapping[str, int]] = {"gzip": 31, "deflate": 15}
MIN_SIZE: Final = 1024  # smaller answers are sent as they are
LEVEL: Final = 1
STEP: Final = 8 << 20  # bytes decompressed between two checks of the limits
_ACCEPTED: Final = re.compile(r"\s*(gzip|deflate)\s*(?:;\s*q=(0(?:\.\d*)?|1(?:\.0*)?)\s*)?", re.IGNORECASE)


async def decompress(data: bytes, encoding: str, max_size: int, memory: Reservation) -> bytes:
    """Return a body without its Content-Encoding, and reserve its memory.

    Raises:
        UnsupportedBody: the encoding is neither gzip nor deflate.
        BadRequest: the data is damaged or incomplete.
        BodyTooLarge: the result has more than `max_size` bytes.
        MemoryFull: the memory for request bodies is at its limit.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return data
    if name not in WINDOW_BITS:
        raise UnsupportedBody(f"Content-Encoding: expected gzip or deflate; got {encoding[:100]!r}")
    decompressor, parts, size = zlib.decompressobj(WINDOW_BITS[name]), [], 0
    while not decompressor.eof:
        try:
            part = await asyncio.to_thread(decompressor.decompress, data, min(STEP, max_size - size + 1))
        except zlib.error as error:
            raise BadRequest(f"the body: expected {name} data, as Content-Encoding says ({error})") from error
        data, size = decompressor.unconsumed_tail, size + len(part)
        if size > max_size:
            raise BodyTooLarge(
                f"the body: expected at most {max_size:,} decompressed bytes; send fewer or smaller images"
            )
        if not part and not decompressor.eof:
            raise BadRequest(f"the body: the {name} data is incomplete")
        memory.add(len(part))
        parts.append(part)
    if decompressor.unused_data:
        raise BadRequest(f"the body: {len(decompressor.unused_data):,} bytes follow the {name} data")
    return b"".join(parts)


def choose_encoding(accepted: str) -> str | None:
    """Return the first encoding of an Accept-Encoding header that answers can have, or None."""
    matches = filter(None, map(_ACCEPTED.fullmatch, accepted.split(",")))
    return next((match[1].lower() for match in matches if float(match[2] or 1)), None)


async def compress(data: bytes, encoding: str) -> bytes:
    """Compress an answer."""
    return await asyncio.to_thread(zlib.compress, data, LEVEL, WINDOW_BITS[encoding])
