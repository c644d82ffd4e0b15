"""Numbers with nouns in messages."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: 1 image, 2 images, 1,000 batches, 3 entries."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"
