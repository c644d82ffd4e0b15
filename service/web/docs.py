"""GET /docs: the API as one static page made from /openapi.json, without resources from other hosts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c }
code, pre { font: 14px/1.4 ui-monospace, monospace; background: #f3f3f1; border-radius: 4px; padding: .1em .3em }
pre { padding: .8rem; overflow-x: auto } table { border-collapse: collapse }
td, th { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0 }
h2 { margin-top: 2.5rem; border-top: 1px solid #ddd; padding-top: 1rem } b { color: #00695c }
h3 { margin-top: 2rem }
"""
POLICY: Final = {
    "Content-Security-Policy": "default-src 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{style}</style>
<h1>{title} {version}</h1><p>{description}</p>
<pre>curl -F file=@photo.jpg '{base}detect?score=0.4'
curl -F file=@photo.jpg -H 'Accept: image/jpeg' '{base}detect' -o drawn.jpg</pre>
<p>Machine-readable: <a href="openapi.json">openapi.json</a>. Errors are <code>application/problem+json</code>
(RFC 9457). Other protocols read them as <code>application/json</code>, with the members of their clients.</p>
<p>{contents}</p>
{sections}
<h2>Schemas</h2>{schemas}
</html>
"""


@router.get("/docs")
async def page(request: Request) -> HTMLResponse:
    """Return a page of all operations with their parameters, and all schemas."""
    openapi: dict[str, Any] = request.app.openapi()
    sections = "".join(_section(tag, openapi["paths"]) for tag in openapi["tags"])
    contents = " · ".join(f"<a href='#{name}'>{name}</a>" for name in (escape(tag["name"]) for tag in openapi["tags"]))
    schemas = "".join(_schema(name, schema) for name, schema in openapi["components"]["schemas"].items())
    info = {name: escape(value) for name, value in openapi["info"].items()}
    base = escape(str(request.base_url))
    text = PAGE.format(**info, style=STYLE, base=base, contents=contents, sections=sections, schemas=schemas)
    return HTMLResponse(text, headers=POLICY)


def _section(tag: dict[str, str], paths: dict[str, Any]) -> str:
    """Return a heading, a description and the operations of one tag."""
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if operation["tags"] == [tag["name"]]
    )
    name = escape(tag["name"])
    return f"<h2 id='{name}'>{name}</h2><p>{_prose(tag['description'])}</p>{operations}"


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code><td>{escape(p['in'])}<td>{_prose(p.get('description', ''))}"
        for p in operation.get("parameters", [])
    )
    text = _prose(operation.get("description", "")).replace("\n\n", "<p>")
    statuses = ", ".join(f"<code>{escape(status)}</code>" for status in operation["responses"])
    return f"<h3><b>{method.upper()}</b> {escape(path)}</h3><p>{text}<table>{rows}</table><p>Responses: {statuses}"


def _prose(text: str) -> str:
    """Return a description as HTML, with code between backticks."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _schema(name: str, schema: dict[str, Any]) -> str:
    return f"<h3 id='{escape(name)}'>{escape(name)}</h3><pre>{escape(json.dumps(schema, indent=1))}</pre>"
