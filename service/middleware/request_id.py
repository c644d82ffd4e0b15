"""Request ids: accept the client's id or make one, return it in the response."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry.logs import request_id
from service.telemetry.request import valid_or_new_id

HEADER: Final = b"x-request-id"
HEADS: Final = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class RequestIdMiddleware:
    """Adds an id to every request, its answer and its log lines."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with the request's id in the logging context."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        sent = next((value for name, value in scope["headers"] if name == HEADER), b"")
        identity = valid_or_new_id(sent.decode("latin-1"))
        request_id.set(identity)

        async def send_with_id(message: Message) -> None:
            if message["type"] in HEADS:
                message["headers"] = [*message.get("headers", []), (HEADER, identity.encode())]
            await send(message)

        await self._app(scope, receive, send_with_id)
