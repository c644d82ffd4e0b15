"""Line numbers of elements in a JSON file, computed only to report findings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_SPACE = re.compile(r"[ \t\n\r,:]*")
_DECODER = json.JSONDecoder()


def element_lines(text: str, key: str) -> list[int]:
    """Return the line of every element of the list under `key` of the outermost object in valid JSON."""
    position = _skip_space(text, _skip_space(text, 0) + 1)
    while text[position] != "}":
        name, position = _DECODER.raw_decode(text, position)
        position = _skip_space(text, position)
        if name == key and text[position] == "[":
            return list(_list_lines(text, position))
        position = _skip_space(text, _DECODER.raw_decode(text, position)[1])
    return []


def _list_lines(text: str, position: int) -> Iterator[int]:
    """Yield the line of each element of the list that opens at `position`."""
    line = text.count("\n", 0, position) + 1
    start, position = position, _skip_space(text, position + 1)
    while text[position] != "]":
        line += text.count("\n", start, position)
        yield line
        start = position
        position = _skip_space(text, _DECODER.raw_decode(text, position)[1])


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
