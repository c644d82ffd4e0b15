"""Request targets in absolute form: `POST http://host/detect` (RFC 9112, section 3.2.2), as proxies receive them."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

_ABSOLUTE: Final = re.compile(rb"https?://(?P<host>[^/]*)(?P<path>/.*)?", re.IGNORECASE | re.DOTALL)


class RequestTargetMiddleware:
    """Reduces a target in absolute form to its path. Its host replaces the Host header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with a path as the target."""
        if scope["type"] == "http" and (absolute := _ABSOLUTE.fullmatch(scope.get("raw_path") or b"")):
            path = absolute["path"] or b"/"
            headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
            host = (b"host", absolute["host"].rpartition(b"@")[2])
            scope = {**scope, "raw_path": path, "path": unquote(path.decode("ascii")), "headers": [host, *headers]}
        await self._app(scope, receive, send)
