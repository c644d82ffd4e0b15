"""GET /docs: the API as one static page made from /openapi.json, without scripts and resources from other hosts."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final, NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from service.web.schema_html import Schema, example_html, members_html, prose, table_html, type_html

router = APIRouter(include_in_schema=False)

POLICY: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
JSON: Final = "application/json"
PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>API of {title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="playground/icon.svg">
<link rel="stylesheet" href="playground/tokens.css"><link rel="stylesheet" href="playground/docs.css"></head>
<body><header><h1>API of {title} {version}</h1>
<nav aria-label="Pages"><a href=".">Playground</a> <a href="model-cards">Models</a>
<a href="openapi.json">openapi.json</a></nav></header>
<div id="page"><nav id="contents" aria-label="Operations">{contents}</nav>
<main><p>{description}</p>
<pre tabindex="0">curl -F file=@photo.jpg '{base}detect?score=0.4'
curl -F file=@photo.jpg -H 'Accept: image/jpeg' '{base}detect' -o drawn.jpg</pre>
<p>Errors are <code>application/problem+json</code> (RFC 9457). Other protocols read them as
<code>application/json</code>, with the members of their clients.</p>
<p>OpenAPI cannot describe the WebSocket <code>/ws/detect</code>: see the page Live images of the documentation.</p>
{sections}
<h2 id="schemas">Schemas</h2>{schemas}</main></div></body></html>
"""


class Operation(NamedTuple):
    """One operation of the document."""

    method: str
    """HTTP method in upper case."""
    path: str
    """Path with parameters in braces."""
    described: Mapping[str, Any]
    """The operation object."""

    @property
    def anchor(self) -> str:
        """Fragment of the page."""
        return re.sub(r"\W+", "-", f"{self.method} {self.path}".lower()).strip("-")


@router.get("/docs")
async def page(request: Request) -> HTMLResponse:
    """Return a page of all operations with their parameters, and all schemas."""
    openapi: dict[str, Any] = request.app.openapi()
    base = str(request.base_url)
    text = PAGE.format(
        **{name: escape(value) for name, value in openapi["info"].items()},
        base=escape(base),
        contents="".join(_contents(tag["name"], openapi) for tag in openapi["tags"]),
        sections="".join(_section(tag, openapi, base) for tag in openapi["tags"]),
        schemas="".join(_schema(name, schema) for name, schema in openapi["components"]["schemas"].items()),
    )
    return HTMLResponse(text, headers=POLICY)


def _operations(tag: str, openapi: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in openapi["paths"].items():
        for method, described in methods.items():
            if described["tags"] == [tag]:
                yield Operation(method.upper(), path, described)


def _breakable(path: str) -> str:
    """Escape a path that may break after its slashes."""
    return escape(path).replace("/", "/<wbr>")


def _contents(tag: str, openapi: Mapping[str, Any]) -> str:
    link = '<li><a href="#{}"><b>{}</b> <span>{}</span></a>'
    links = "".join(link.format(one.anchor, one.method, _breakable(one.path)) for one in _operations(tag, openapi))
    return f'<a href="#{escape(tag)}">{escape(tag)}</a><ul>{links}</ul>'


def _section(tag: Mapping[str, str], openapi: Mapping[str, Any], base: str) -> str:
    """Return a heading, a description and the operations of one tag."""
    name = escape(tag["name"])
    operations = "".join(_operation(operation, base) for operation in _operations(tag["name"], openapi))
    return f'<section><h2 id="{name}">{name}</h2>{prose(tag["description"])}{operations}</section>'


def _operation(operation: Operation, base: str) -> str:
    described, name = operation.described, f"{operation.method} {operation.path}"
    parameters = [
        (p["name"], {**_given(p["schema"]), "description": _describe(p)}, p.get("required", False))
        for p in described.get("parameters", ())
    ]
    return (
        f'<article><h3 id="{operation.anchor}"><b>{operation.method}</b> <code>{escape(operation.path)}</code></h3>'
        + prose(described.get("description", ""))
        + (f"<h4>Parameters</h4>{table_html(f'Parameters of {name}', parameters)}" if parameters else "")
        + _body(described.get("requestBody"), name)
        + f'<h4>Command</h4><pre tabindex="0">{escape(_curl(operation, base), quote=False)}</pre>'
        + f"<h4>Answers</h4>{_answers(described['responses'], name)}</article>"
    )


def _given(schema: Schema) -> Schema:
    """Return the schema of a parameter that is given: one that may be left out is null then."""
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    return {**schema, "anyOf": options} if options else schema


def _describe(parameter: Mapping[str, Any]) -> str:
    place = "" if parameter["in"] == "query" else f"In the {parameter['in']}. "
    return place + str(parameter.get("description", ""))


def _body(body: Mapping[str, Any] | None, name: str) -> str:
    """Return the media types of a request body with their schemas and examples."""
    contents = body["content"].items() if body else ()
    return "".join(
        f"<h4>Body: <code>{escape(media_type)}</code></h4>{members_html(content['schema'], f'Body of {name}')}"
        + (example_html(content["example"]) if "example" in content else "")
        for media_type, content in contents
    )


def _answers(responses: Mapping[str, Any], name: str) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(status)}<td>{_media_types(response)}<td>{prose(response["description"])}'
        for status, response in responses.items()
    )
    label = f'aria-label="Answers of {escape(name)}"'
    example = responses.get("200", {}).get("content", {}).get(JSON, {}).get("example")
    details = f"<details><summary>Example</summary>{example_html(example)}</details>" if example is not None else ""
    return f'<div class="scroll" tabindex="0" role="group" {label}><table {label}>{rows}</table></div>{details}'


def _media_types(response: Mapping[str, Any]) -> str:
    """List media types and types of a response."""
    return "<br>".join(
        f"<code>{escape(media_type)}</code> {type_html(content['schema']) if content.get('schema') else ''}"
        for media_type, content in response.get("content", {}).items()
    )


def _curl(operation: Operation, base: str) -> str:
    """Return a command that sends the example of the operation."""
    content = operation.described.get("requestBody", {}).get("content", {})
    implied = "POST" if content else "GET"
    words = ["curl"] if operation.method == implied else ["curl", "-X", operation.method]
    if "security" in operation.described:
        words += ["-H", "X-Api-Key: KEY"]
    if "multipart/form-data" in content:
        fields = content["multipart/form-data"]["schema"].get("properties", {"file": {}})
        words += ["-F", f"{next(iter(fields), 'file')}=@photo.jpg"]
    elif JSON in content:
        words += ["-H", f"Content-Type: {JSON}", "-d", json.dumps(content[JSON].get("example", {}))]
    return " ".join(map(shlex.quote, [*words, base.rstrip("/") + operation.path]))


def _schema(name: str, schema: Schema) -> str:
    members = schema.get("allOf", [schema])
    tables = "".join(members_html(member, name) for member in members)
    heading = f'<h3 id="schema-{escape(name)}">{escape(name)}</h3>'
    return f"<article>{heading}{prose(schema.get('description', ''))}{tables}</article>"
