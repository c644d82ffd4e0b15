"""Origins of WebSockets from browsers, which apply no CORS to them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors import Forbidden
from service.api.problems import respond

_MAX_SHOWN: Final = 100


class OriginMiddleware:
    """Refuses WebSockets of pages of other origins than the server's own and those of a list.

    Programs that are no browsers send no origin.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        """Allow the origins of `allowed`, or all if it has `*`."""
        self._app, self._allowed = app, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, or answer 403."""
        if scope["type"] == "websocket":
            headers = Headers(scope=scope)
            sent = headers.getlist("origin")
            if not self._is_allowed(sent, headers.get("host", "")):
                shown = ", ".join(sent)[:_MAX_SHOWN]
                error = Forbidden(f"Origin: expected this server or one of the setting cors_origins; got {shown!r}")
                await respond(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_allowed(self, sent: Sequence[str], host: str) -> bool:
        if not sent or "*" in self._allowed:
            return True
        origin = sent[0].lower()
        is_own = bool(host) and origin in (f"http://{host.lower()}", f"https://{host.lower()}")
        return len(sent) == 1 and (is_own or origin in self._allowed)
