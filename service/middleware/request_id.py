"""Request ids: accept the client's id or make one, return it in the response."""

from __future__ import annotations

import re
import uuid
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry.logs import request_id

HEADER: Final = b"x-request-id"
_VALID_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


class RequestIdMiddleware:
    """Adds an id to every HTTP request, its answer and its log lines."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with the request's id in the logging context."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = _identity(scope)
        request_id.set(identity.decode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (HEADER, identity)]
            await send(message)

        await self._app(scope, receive, send_with_id)


def _identity(scope: Scope) -> bytes:
    """Return the client's request id if it is valid, else a new one."""
    sent = next((value for name, value in scope["headers"] if name == HEADER), b"")
    return sent if _VALID_ID.fullmatch(sent) else uuid.uuid4().hex.encode()
