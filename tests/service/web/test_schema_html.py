"""JSON schemas as HTML."""

from __future__ import annotations

from typing import Any

import pytest

from service.web.schema_html import members_html, prose, table_html, type_html


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string", "maxLength": 256, "minLength": 1}, "string, not empty, at most 256 characters"),
        ({"type": "integer", "minimum": 0, "exclusiveMaximum": 1000}, "integer, at least 0, below 1,000"),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "number or null"),
        ({"enum": ["a", 1]}, '<code>"a"</code> or <code>1</code>'),
        ({"const": False}, "<code>false</code>"),
        ({"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}]}, "array of 2: number, string"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Box"}}, 'array of <a href="#schema-Box">Box</a>'),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "object of integer"),
        ({"allOf": [{"$ref": "#/components/schemas/A"}, {"type": "object"}]}, '<a href="#schema-A">A</a> and object'),
        ({"type": "string", "format": "binary"}, "file"),
        ({}, "any"),
    ],
)
def test_types_are_named_with_their_limits(schema: dict[str, Any], text: str) -> None:
    assert type_html(schema) == text


def test_text_is_escaped() -> None:
    assert prose("`a<b` & <c>\n\nd") == "<p><code>a&lt;b</code> &amp; &lt;c&gt;</p><p>d</p>"
    table = table_html('a"b', [("<x>", {"type": "<y>", "default": "<z>"}, False)])
    assert "<x>" not in table
    assert "<y>" not in table
    assert "<z>" not in table
    assert 'aria-label="a&quot;b"' in table


def test_members_are_required_or_have_a_default() -> None:
    schema = {"properties": {"a": {"type": "null"}, "b": {"type": "string", "default": "c"}}, "required": ["a"]}
    table = members_html(schema, "members")
    assert "<code>a</code><td>null<br><b>required</b><td>" in table
    assert '<code>b</code><td>string<br><small>default</small> <code>"c"</code><td>' in table
    assert members_html({"type": "string"}, "no members") == "<p>string</p>"
