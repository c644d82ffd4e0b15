"""JSON schemas of the OpenAPI document as HTML: types with limits, and tables of members."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

Schema = Mapping[str, Any]
_LIMITS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}
_ONE_CHARACTER: Final = "at least 1 characters"


def prose(text: str) -> str:
    """Return a description as HTML paragraphs, with code between backticks."""
    paragraphs = re.sub("`([^`]+)`", r"<code>\1</code>", escape(text, quote=False)).split("\n\n")
    return "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs if paragraph.strip())


def type_html(schema: Schema) -> str:
    """Return the type of a schema, with links to named schemas and with its limits."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    for keyword, conjunction in (("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")):
        if keyword in schema:
            return conjunction.join(type_html(option) for option in schema[keyword])
    if "const" in schema or "enum" in schema:
        return " or ".join(value_html(value) for value in schema.get("enum", [schema.get("const")]))
    return ", ".join([_plain_type(schema), *_limits(schema)])


def _plain_type(schema: Schema) -> str:
    kind = schema.get("type", "any")
    if kind == "array":
        if items := schema.get("prefixItems"):
            return f"array of {len(items)}: {', '.join(map(type_html, items))}"
        return f"array of {type_html(schema.get('items', {}))}"
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"object of {type_html(values)}"
    return "file" if schema.get("format") == "binary" else escape(str(kind))


def _limits(schema: Schema) -> list[str]:
    """List the limits of a value in words."""
    texts = [text.format(f"{schema[name]:,}") for name, text in _LIMITS.items() if name in schema]
    return ["not empty" if text == _ONE_CHARACTER else text.replace(" 1 items", " 1 item") for text in texts]


def value_html(value: object) -> str:
    """Return a JSON value as code."""
    return f"<code>{escape(json.dumps(value, ensure_ascii=False), quote=False)}</code>"


def example_html(example: object) -> str:
    """Return an example as indented JSON."""
    return f'<pre tabindex="0">{escape(json.dumps(example, indent=2, ensure_ascii=False), quote=False)}</pre>'


def members_html(schema: Schema, caption: str) -> str:
    """Return a table of the members of an object, or the type of anything else."""
    properties = schema.get("properties")
    if not properties:
        return f"<p>{type_html(schema)}</p>"
    required = schema.get("required", ())
    return table_html(caption, [(name, member, name in required) for name, member in properties.items()])


def table_html(caption: str, members: Sequence[tuple[str, Schema, bool]]) -> str:
    """Return a table of (name, schema, required) with types, defaults and descriptions."""
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(name)}</code><td>{type_html(schema)}{_default(schema, required)}'
        f"<td>{prose(schema.get('description', ''))}"
        for name, schema, required in members
    )
    head = "".join(f'<th scope="col">{title}' for title in ("Name", "Type", "Description"))
    caption = escape(caption)
    table = f'<table aria-label="{caption}"><thead><tr>{head}<tbody>{rows}</table>'
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{caption}">{table}</div>'


def _default(schema: Schema, required: bool) -> str:
    if required:
        return "<br><b>required</b>"
    return f"<br><small>default</small> {value_html(schema['default'])}" if schema.get("default") is not None else ""
