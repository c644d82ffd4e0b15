"""JSON of answers."""

from __future__ import annotations

import json

import pytest

from service.api.json_text import write_json

DOCUMENT = {
    "file": None,
    "box": [0.1, 1e-05, 123.457, -0.0, 4096.0],
    "score": 0.999999,
    "class_id": 3,
    "label": 'é "x"\n',
}


@pytest.mark.parametrize("document", [DOCUMENT, {"label": "\ud800"}, []])
def test_values_are_those_of_the_standard_library(document: object) -> None:
    assert json.loads(write_json(document)) == json.loads(json.dumps(document))


def test_text_is_utf8_without_blanks() -> None:
    assert write_json({"label": "é", "box": [1.5, 2.0]}) == '{"label":"é","box":[1.5,2.0]}'.encode()
