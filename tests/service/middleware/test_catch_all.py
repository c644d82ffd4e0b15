"""Exceptions that no handler caught."""

from __future__ import annotations

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from service.middleware.catch_all import CatchAllMiddleware


async def fails_before(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError("secret")


async def fails_after(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("started")(scope, receive, send)
    raise ZeroDivisionError("secret")


def test_exception_becomes_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    response = TestClient(CatchAllMiddleware(fails_before)).get("/")
    assert (response.status_code, response.json()["title"]) == (500, "Internal error")
    assert "secret" not in response.text
    assert "secret" in caplog.text


def test_exception_after_the_response_started_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        TestClient(CatchAllMiddleware(fails_after)).get("/")
