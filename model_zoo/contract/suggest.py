"""Suggestions for misspelled names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return "did you mean a or b?" for the known names closest to `name`, or an empty string if none is close.

    Upper and lower case count as equal.
    """
    folded: dict[str, list[str]] = {}
    for other in known:
        folded.setdefault(other.casefold(), []).append(other)
    matches = difflib.get_close_matches(name.casefold(), folded, n=count)
    close = [other for match in matches for other in folded[match]][:count]
    return f"did you mean {' or '.join(close)}?" if close else ""
