"""Notation of class names: differences that do not change which class is meant."""

from __future__ import annotations

import re
import unicodedata

_SEPARATORS = re.compile(r"[\s_-]+")


def normalize(name: str) -> str:
    """Return a name without differences of case, blanks, hyphens and underscores."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", name).casefold()) or name
