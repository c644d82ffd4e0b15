"""Request ids and one-line logs (logfmt: time, level, logger, request, message, then what the line is about)."""

from __future__ import annotations

import logging
import re
import time
import uuid
from contextvars import ContextVar
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

request_id: ContextVar[str] = ContextVar("request_id", default="-")
HEADER: Final = b"x-request-id"
_GOOD_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_ACCESS = logging.getLogger("service.access")


class RequestContext:
    """Middleware: gives every request an id (the client's own where it sent a sound one), echoes it, logs at DEBUG."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application inside the context of one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = _identity(scope)
        request_id.set(identity.decode())
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (HEADER, identity)]
            await send(message)

        await self._app(scope, receive, send_with_id)
        took = 1000 * (time.perf_counter() - started)
        level = logging.WARNING if status in (500, 504) else logging.DEBUG
        _ACCESS.log(level, "%s %s status=%d took_ms=%.1f", scope["method"], scope["path"], status, took)


class LogfmtFormatter(logging.Formatter):
    """Formats a record as one line; a traceback is folded into it."""

    converter = staticmethod(time.gmtime)
    layout = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s request=%(request)s %(message)s"

    def __init__(self) -> None:
        super().__init__(self.layout, "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        record.request = request_id.get()
        line = super().format(record)
        return line if line.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in line)


def configure_logging(level: str) -> None:
    """Send all logs to stderr, one line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogfmtFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # its start-up chatter is ours to tell
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _identity(scope: Scope) -> bytes:
    sent = next((value for name, value in scope["headers"] if name == HEADER), b"")
    return sent if _GOOD_ID.fullmatch(sent) else uuid.uuid4().hex.encode()
