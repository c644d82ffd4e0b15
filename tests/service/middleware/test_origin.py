"""Origins of WebSockets."""

from __future__ import annotations

import asyncio

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Message, Receive, Scope, Send

from service.middleware.origin import OriginMiddleware
from tests.service.app_client import check_problem


def is_accepted(allowed: list[str], *origins: str, host: str = "camera.example:8000") -> bool:
    passed = []

    async def pass_on(scope: Scope, _: Receive, __: Send) -> None:
        passed.append(scope)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        assert message.get("status", 403) == 403

    headers = [(b"host", host.encode()), *((b"origin", origin.encode()) for origin in origins)]
    asyncio.run(OriginMiddleware(pass_on, allowed)({"type": "websocket", "headers": headers}, receive, send))
    return bool(passed)


@pytest.mark.parametrize("origins", [[], ["http://camera.example:8000"], ["https://Camera.example:8000"]])
def test_programs_and_own_pages_are_accepted(origins: list[str]) -> None:
    assert is_accepted([], *origins)


@pytest.mark.parametrize(
    "origins",
    [
        ["http://evil.example"],
        ["http://camera.example"],
        ["http://camera.example:8000.evil.example"],
        ["http://user@camera.example:8000"],
        ["null"],
        [""],
        ["http://camera.example:8000", "http://evil.example"],
    ],
)
def test_other_pages_are_refused(origins: list[str]) -> None:
    assert not is_accepted([], *origins)
    assert not is_accepted(["https://app.example"], *origins)


def test_empty_host_is_no_own_origin() -> None:
    assert not is_accepted([], "http://", host="")


def test_listed_pages_are_accepted() -> None:
    assert is_accepted(["https://app.example"], "https://app.example")
    assert is_accepted(["null"], "null")
    assert is_accepted(["*"], "http://evil.example")


def test_refusal_is_a_problem(client: TestClient) -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("/ws/detect", headers={"Origin": "http://evil.example"}),
    ):
        pass
    assert "http://evil.example" in check_problem(refused.value, 403, "Forbidden")
