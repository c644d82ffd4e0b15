"""Suggestions for misspelled names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return "did you mean a or b?" for the known names closest to `name`, or an empty string if none is close."""
    close = difflib.get_close_matches(name, list(known), n=count)
    return f"did you mean {' or '.join(close)}?" if close else ""
