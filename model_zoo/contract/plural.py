"""Numbers with nouns in messages."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: 1 image, 2 epochs, 1,000 batches, 3 entries."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{count:,} {noun[:-1]}ies"
    ending = "es" if noun.endswith(("s", "x", "tch", "sh")) else "s"
    return f"{count:,} {noun}{ending}"
