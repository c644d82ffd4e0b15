"""Middleware of Ray's proxy."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from service.deploy.ray.proxy import middleware


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Send nothing, as the proxy does for a replica that has died."""


def client_of(app: ASGIApp) -> TestClient:
    for item in middleware():
        app = item.cls(app, *item.args, **item.kwargs)
    return TestClient(app)


def test_a_request_without_an_answer_can_be_sent_again() -> None:
    answer = client_of(silent).post("/detect", headers={"X-Request-Id": "seven"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["title"], problem["request_id"], answer.headers["x-request-id"]) == ("Not ready", "seven", "seven")
    assert "send it again" in problem["detail"]


@pytest.mark.parametrize("status", [200, 404, 500])
def test_answers_are_passed_on(status: int) -> None:
    answer = client_of(PlainTextResponse("text", status)).get("/")
    assert (answer.status_code, answer.text) == (status, "text")


def test_a_connection_that_is_no_request_is_left_alone() -> None:
    with TestClient(middleware()[0].cls(Starlette())):
        pass
