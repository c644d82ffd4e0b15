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
            await self._app({**scope, "method": "GET"}, receive, _without_body(send))
        elif method == "OPTIONS" and scope["path"] == "*":  # the server as a whole
            await Response(status_code=204, headers={"Allow": ", ".join(METHODS)})(scope, receive, send)
        elif method == "OPTIONS":
            await self._app(scope, receive, _as_options(send))
        else:
            await self._app(scope, receive, send)


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


def _as_options(send: Send) -> Send:
    """Replace a 405 response by 204 with its Allow header."""
    replaced = False

    async def send_allowed(message: Message) -> None:
        nonlocal replaced
        if message["type"] == "http.response.start" and message["status"] == 405:
            replaced = True
            message = {**message, "status": 204, "headers": _options_headers(message)}
        await send({**message, "body": b""} if replaced and message["type"] == "http.response.body" else message)

    return send_allowed


def _options_headers(message: Message) -> list[tuple[bytes, bytes]]:
    allow = next((value.decode("latin-1") for name, value in message["headers"] if name.lower() == b"allow"), "")
    listed = {method.strip() for method in allow.split(",")}
    listed |= {"HEAD", "OPTIONS"} if "GET" in listed else {"OPTIONS"}
    return [(b"allow", ", ".join(method for method in METHODS if method in listed).encode())]
