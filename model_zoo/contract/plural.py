"""Numbers with nouns, and lists, in messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MAX_LISTED: Final = 10  # names in a message; the others are counted


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: 1 image, 2 epochs, 1,000 batches, 3 entries."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{count:,} {noun[:-1]}ies"
    ending = "es" if noun.endswith(("s", "x", "tch", "sh")) else "s"
    return f"{count:,} {noun}{ending}"


def listing(names: Iterable[object]) -> str:
    """Return names separated by commas, at most MAX_LISTED: a, b, c and 7 more."""
    texts = list(map(str, names))
    more = f" and {len(texts) - MAX_LISTED:,} more" if len(texts) > MAX_LISTED else ""
    return ", ".join(texts[:MAX_LISTED]) + more
