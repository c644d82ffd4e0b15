"""Typed parsing of JSON. The tests of the card cover all field types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.contract.typed_json import parse, read_fields, shorten


@dataclass(frozen=True)
class Part:
    size: tuple[int, int]
    note: str | None = None


@dataclass(frozen=True)
class Document:
    parts: tuple[Part, ...]
    scale: float = 1.0
    tools: Mapping[str, str] = field(default_factory=dict)


def test_nested_dataclasses_are_read() -> None:
    data = parse('{"parts": [{"size": [1, 2]}, {"size": [3, 4], "note": null}], "scale": 2, "tools": {"a": "1"}}')
    document = Document(**read_fields(Document, data))
    assert document == Document((Part((1, 2)), Part((3, 4))), 2.0, {"a": "1"})
    assert isinstance(document.scale, float)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "the document: expected an object; got []"),
        ({}, "parts: expected a list of objects; the field is missing"),
        ({"parts": [{"size": [1, "2"]}]}, "parts[0].size[1]: expected an integer; got '2'"),
        ({"parts": [{"size": [1]}]}, "parts[0].size: expected a list of 2; got [1]"),
        ({"parts": [], "tools": {"a": 1}}, "tools.a: expected a string; got 1"),
        ({"parts": [], "other": 1}, "other: unknown field; expected one of parts, scale, tools"),
    ],
)
def test_errors_have_the_path(data: object, message: str) -> None:
    with pytest.raises(LineageError) as caught:
        read_fields(Document, data)
    assert str(caught.value) == message


def test_invalid_json_is_refused() -> None:
    with pytest.raises(LineageError, match=r"expected a JSON document; .*line 1"):
        parse("{")


def test_name_given_twice_is_refused() -> None:
    assert parse('{"a": {"b": 1}, "b": 2}') == {"a": {"b": 1}, "b": 2}
    with pytest.raises(LineageError, match="the name 'a' is given twice in one object"):
        parse('{"c": {"a": 1, "b": 1, "a": 2}}')


def test_shorten_limits_the_length() -> None:
    assert shorten([1]) == "[1]"
    assert len(shorten("x" * 1000)) == 100


@pytest.mark.parametrize(
    "value", ["x" * 98, "x" * 99, b"\xff" * 200, [1] * 1000, {"a": ["x" * 1000]}, {i: [i] * i for i in range(200)}]
)
def test_shorten_returns_the_beginning_of_the_repr(value: object) -> None:
    whole = repr(value)
    assert shorten(value) == (whole if len(whole) <= 100 else whole[:97] + "...")
