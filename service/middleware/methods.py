"""HEAD and OPTIONS for every route (RFC 9110, section 9.3)."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS: Final = ("GET", "HEAD", "POST", "OPTIONS")


class MethodsMiddleware:
    """Answers HEAD as GET without a body, and OPTIONS with the methods of the route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, as GET for HEAD, and convert its response."""
        method = scope.get("method")
        if method == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, _without_body(_with_methods(send)))
        elif method == "OPTIONS" and scope["path"] == "*":  # the server as a whole
            await Response(status_code=204, headers={"Allow": ", ".join(METHODS)})(scope, receive, send)
        else:
            await self._app(scope, receive, _with_methods(send, answer=method == "OPTIONS"))


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


def _with_methods(send: Send, *, answer: bool = False) -> Send:
    """Complete the Allow header of a 405 response, or `answer` with 204 and that header alone."""
    answered = False

    async def send_allowed(message: Message) -> None:
        nonlocal answered
        if message["type"] == "http.response.start" and message["status"] == 405:
            answered = answer
            others = [] if answer else [header for header in message["headers"] if header[0].lower() != b"allow"]
            message = {**message, "status": 204 if answer else 405, "headers": [*others, (b"allow", _methods(message))]}
        await send({**message, "body": b""} if answered and message["type"] == "http.response.body" else message)

    return send_allowed


def _methods(message: Message) -> bytes:
    allow = next((value.decode("latin-1") for name, value in message["headers"] if name.lower() == b"allow"), "")
    listed = {method.strip() for method in allow.split(",")}
    listed |= {"HEAD", "OPTIONS"} if "GET" in listed else {"OPTIONS"}
    return ", ".join(method for method in METHODS if method in listed).encode()
