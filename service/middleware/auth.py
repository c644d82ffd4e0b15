"""API keys of HTTP requests and WebSockets, checked before the body is read."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.keys import Keys
from service.api.access import IN_BODY, check_scope, expect_key, find_key, tokens_of
from service.api.context import CLIENT
from service.api.errors import Forbidden, Unauthorized
from service.api.problems import respond
from service.api.protocols import is_health_check, protocol_of

_OPEN: Final = ("/", "/docs", "/openapi.json", "/playground", "/model-cards", "/shadow")
_OPEN_FOLDERS: Final = ("/playground/",)
_CHANGES: Final = ("/admin", "/v2/repository/models")
_ADMIN: Final = (*_CHANGES, "/shadow")


class AccessMiddleware:
    """Refuses requests without a valid API key, and stores the key's name as the client.

    Without keys, only changes of models are refused. A key in the body is checked by the route.
    """

    def __init__(self, app: ASGIApp, keys: Keys | None) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, or answer 401 or 403."""
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(scope)
            except (Unauthorized, Forbidden) as error:
                await respond(error)(scope, receive, send)
                return
        if IN_BODY in scope:
            send = _closed(scope, receive, send)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if self._keys is None:
            if change := next(filter(path.startswith, _CHANGES), None):
                how = "start the server with --keys FILE, written by lineage keys add"
                raise Forbidden(f"{change} needs API keys: {how}")
            return
        if is_open(path):
            return
        protocol = protocol_of(path)
        tokens = set(tokens_of(scope, protocol))
        if not tokens and protocol.key_in_body:
            scope[IN_BODY] = protocol  # the route checks it
            return
        key = find_key(self._keys, tokens, protocol)
        scope[CLIENT] = key.name
        if path != "/metrics":
            check_scope(key, "admin" if path.startswith(_ADMIN) else "detect")


def _closed(scope: Scope, receive: Receive, send: Send) -> Send:
    """Return a `send` that replaces the answer of a route that has not called `check_body_key` by a refusal."""
    is_refused = False

    async def send_checked(message: Message) -> None:
        nonlocal is_refused
        if message["type"] == "http.response.start" and message["status"] < 400 and IN_BODY in scope:
            is_refused = True
            await respond(Unauthorized(f"{expect_key(scope[IN_BODY])}; got none"))(scope, receive, send)
        if not is_refused:
            await send(message)

    return send_checked


def is_open(path: str) -> bool:
    """Return whether a path needs no key."""
    return path in _OPEN or path.startswith(_OPEN_FOLDERS) or is_health_check(path)
