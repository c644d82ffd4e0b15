"""Which of the forms we have does the client like best (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from service.api.problems import NotAcceptable


def choose(accept: str | None, offers: Sequence[str]) -> str:
    """Return the offer that an Accept header weighs most, the first of equals; NotAcceptable where none weighs."""
    if not accept or not accept.strip():
        return offers[0]
    ranges = [_parse(part) for part in accept.split(",")]
    best = max(offers, key=lambda offer: _weight(offer, ranges))
    if _weight(best, ranges) <= 0:
        raise NotAcceptable(f"Accept: expected one of {', '.join(offers)}; got {accept[:200]!r}")
    return best


def _weight(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Weight of the most specific range that matches."""
    for wanted in (offer, offer.partition("/")[0] + "/*", "*/*"):
        weights = [weight for kind, weight in ranges if kind == wanted]
        if weights:
            return max(weights)
    return 0.0


def _parse(part: str) -> tuple[str, float]:
    """Split `type/subtype;q=0.5`; a weight that is no number from 0 to 1 counts as 0."""
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weights = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
    try:
        weight = float(weights[0]) if weights else 1.0
    except ValueError:
        weight = math.nan
    return kind, weight if 0 <= weight <= 1 else 0.0
