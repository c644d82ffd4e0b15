"""Line numbers of JSON elements, compared with the lines of the file."""

from __future__ import annotations

import json

import pytest

from training.data.formats.json_lines import element_lines

DOCUMENT = {
    "info": {"images": [1, 2], "text": 'a "quoted" [list], {x}: \\ and \n a line'},
    "images": [{"id": 7, "nested": [{"id": 8}]}, [], "text]", 4, None],
    "empty": [],
    "annotations": [{"bbox": [1, 2, 3, 4]}] * 3,
}


@pytest.mark.parametrize("indent", [None, 0, 1, 4])
@pytest.mark.parametrize("key", ["images", "annotations", "empty", "absent"])
def test_element_lines_match_the_file(key: str, indent: int | None) -> None:
    text = "\n\n" + json.dumps(DOCUMENT, indent=indent)
    elements = DOCUMENT.get(key, [])
    lines = element_lines(text, key)
    assert len(lines) == len(elements)
    for element, line in zip(elements, lines, strict=True):
        first = json.dumps(element, indent=indent).splitlines()[0]
        assert first in text.splitlines()[line - 1]
    assert lines == sorted(lines)
    if indent is not None and lines:
        assert lines[0] > text.splitlines().index(next(row for row in text.splitlines() if f'"{key}": [' in row))
