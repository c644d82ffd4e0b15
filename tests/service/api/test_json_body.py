"""Small JSON bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.testclient import TestClient

from service.api import json_body
from service.api.errors import BadRequest, BodyTooSlow
from service.api.json_body import parse_model, read_json
from tests.service.app_client import check_problem

ALIAS = "/admin/models/toy/aliases/x"
JSON = {"Content-Type": "application/json"}


def test_schemas_of_models_are_made_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Probe(BaseModel):
        made: ClassVar[list[str]] = []

        @classmethod
        def __get_pydantic_json_schema__(cls, *_: object) -> dict[str, Any]:
            cls.made.append("schema")
            return {"type": "object"}

    monkeypatch.setattr(json_body, "_DOCUMENTED", [])
    described = json_body.documented_body(Probe)["requestBody"]
    assert described["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Probe"}
    assert not Probe.made
    assert json_body.document_models() == {"Probe": {"type": "object"}}
    assert Probe.made


@pytest.mark.parametrize(
    ("body", "headers", "status", "title", "detail"),
    [
        (b"{}", {}, 415, "Unsupported body", "Content-Type: expected application/json; got 'none'"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "Unsupported body", "got 'text/plain'"),
        (b"{", JSON, 400, "Bad request", "the body: expected a JSON document; Expecting property name"),
        (b"", JSON, 400, "Bad request", "the body: expected a JSON document; Expecting value"),
        (b'{"a": "\xff"}', JSON, 400, "Bad request", "the body: 'utf-8' codec can't decode byte 0xff in position 7"),
        (b"[" * 60_000, JSON, 400, "Bad request", "the body: expected a JSON document; maximum recursion depth"),
        (b" " * 65_537, JSON, 413, "Body too large", "expected at most 65,536 bytes of JSON"),
    ],
)
def test_unreadable_bodies_are_refused(
    admin: TestClient, body: bytes, headers: Mapping[str, str], status: int, title: str, detail: str
) -> None:
    response = admin.put(ALIAS, content=body, headers=headers)
    assert detail in check_problem(response, status, title)


class Anything(BaseModel):
    a: Any = None


@pytest.mark.parametrize("data", [b"[" * 9 + b"]" * 9, b'[{"b": {"c": {}}}, [[], {}], 1]', b"[" + b"1," * 8 + b"1]"])
def test_values_of_all_forms_are_counted(data: bytes) -> None:
    """Nested lists have no commas, and take 30 times the memory of their text."""
    body = b'{"a":' + data + b"}"
    parse_model(body, Anything, max_values=12)
    with pytest.raises(BadRequest, match="expected at most 5 values in JSON"):
        parse_model(body, Anything, max_values=5)


def test_slow_body_is_refused() -> None:
    async def never() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    async def read() -> None:
        scope = {"type": "http", "headers": [(b"content-type", b"application/json")]}
        await read_json(Request(scope, never), asyncio.get_running_loop().time() + 0.01)

    with pytest.raises(BodyTooSlow, match="did not arrive in time"):
        asyncio.run(read())
