"""Where in a JSON file an element stands; worked out only when there is something to report about it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_SPACE = re.compile(r"[ \t\n\r,:]*")
_DECODER = json.JSONDecoder()


def element_lines(text: str, key: str) -> list[int]:
    """Return the line of every element of the list under `key` of the document's outermost object; `text` is valid."""
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if name == key and text[at] == "[":
            return list(_lines(text, at))
        at = _skip(text, _DECODER.raw_decode(text, at)[1])
    return []


def _lines(text: str, at: int) -> Iterator[int]:
    """Walk the list that opens at `at`."""
    line = text.count("\n", 0, at) + 1
    start, at = at, _skip(text, at + 1)
    while text[at] != "]":
        line += text.count("\n", start, at)
        yield line
        start = at
        at = _skip(text, _DECODER.raw_decode(text, at)[1])


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
