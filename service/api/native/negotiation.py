"""Content negotiation by the Accept header (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from service.api.errors import NotAcceptable

MAX_HEADERS: Final = 64  # of up to 16 KiB


@lru_cache(MAX_HEADERS)
def negotiate(accept: str | None, offers: tuple[str, ...]) -> str:
    """Return the media type that an Accept header prefers, the first of equals.

    Raises:
        NotAcceptable: the header allows none of the offers.
    """
    accept = accept or ""
    ranges = [_parse(part) for part in accept.split(",") if part.strip()]
    if not ranges:
        return offers[0]
    best = max(offers, key=lambda offer: _weight(offer, ranges))
    if _weight(best, ranges) <= 0:
        raise NotAcceptable(f"Accept: expected one of {', '.join(offers)}; got {accept[:200]!r}")
    return best


def _weight(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the weight of the most specific media range that matches."""
    for pattern in (offer, offer.partition("/")[0] + "/*", "*/*"):
        weights = [weight for media_range, weight in ranges if media_range == pattern]
        if weights:
            return max(weights)
    return 0.0


def _parse(part: str) -> tuple[str, float]:
    """Parse `type/subtype;q=0.5`. A weight outside 0 to 1 counts as 0. Java writes `*` for all types."""
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weights = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
    try:
        weight = float(weights[0]) if weights else 1.0
    except ValueError:
        weight = math.nan
    return "*/*" if media_range == "*" else media_range, weight if 0 <= weight <= 1 else 0.0
