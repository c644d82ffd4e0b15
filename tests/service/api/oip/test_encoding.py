"""Content encodings: bounded decompression, and compression only where it is asked for."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from service.api.errors import BadRequest, BodyTooLarge, RequestError, UnsupportedBody
from service.api.oip import encoding
from service.api.oip.encoding import choose_encoding, compress, decompress
from service.inference.errors import MemoryFull
from service.inference.memory import MemoryBudget

DATA = b"tensor" * 1000
DEFLATED = zlib.compress(DATA)


def unpack(data: bytes, name: str, max_size: int = len(DATA), budget: int = 1 << 20) -> bytes:
    with MemoryBudget(budget).reserve() as memory:
        result = asyncio.run(decompress(data, name, max_size, memory))
        assert memory.size == (0 if name == "identity" else len(result))
        return result


@pytest.mark.parametrize("step", [100, 8 << 20])
@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_round_trip_in_steps(name: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "STEP", step)
    assert unpack(asyncio.run(compress(DATA, name)), name.upper()) == DATA


def test_identity_is_no_encoding() -> None:
    assert unpack(b"x", "identity") == b"x"


@pytest.mark.parametrize(
    ("data", "name", "kind", "reason"),
    [
        (DEFLATED, "br", UnsupportedBody, "expected gzip or deflate; got 'br'"),
        (DEFLATED, "gzip, gzip", UnsupportedBody, "got 'gzip, gzip'"),
        (DEFLATED, "gzip", BadRequest, "expected gzip data"),
        (DEFLATED[:-5], "deflate", BadRequest, "the deflate data is incomplete"),
        (b"", "deflate", BadRequest, "the deflate data is incomplete"),
        (DEFLATED[:9] + b"damaged!" + DEFLATED[17:], "deflate", BadRequest, "expected deflate data"),
        (DEFLATED + b"more", "deflate", BadRequest, "4 bytes follow the deflate data"),
        (gzip.compress(DATA, mtime=0) * 2, "gzip", BadRequest, "bytes follow the gzip data"),
    ],
)
def test_damaged_data_is_refused(data: bytes, name: str, kind: type[RequestError], reason: str) -> None:
    with pytest.raises(kind, match=reason):
        unpack(data, name)


def test_bombs_stop_at_the_limits() -> None:
    bomb = gzip.compress(b"\0" * (32 << 20))
    with pytest.raises(BodyTooLarge, match="expected at most 1,000 decompressed bytes"):
        unpack(bomb, "gzip", 1000)
    with pytest.raises(MemoryFull):
        unpack(bomb, "gzip", 64 << 20, budget=1 << 20)


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", None),
        ("*", None),
        ("br", None),
        ("gzip, deflate, br", "gzip"),
        ("br;q=1.0, Deflate ; q=0.5", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip;q=0.000", None),
        ("gzipped, gzip;level=9", None),
    ],
)
def test_answers_are_compressed_only_if_asked(accepted: str, expected: str | None) -> None:
    assert choose_encoding(accepted) == expected
