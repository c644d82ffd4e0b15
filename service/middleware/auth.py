"""API keys of HTTP requests, checked before the body is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.keys import Keys
from service.api.access import IN_BODY, check_scope, find_key
from service.api.context import CLIENT
from service.api.errors import Forbidden, Unauthorized
from service.api.problems import respond
from service.api.protocols import Protocol, is_health_check, protocol_of

API_KEY: Final = b"x-api-key"
_OPEN: Final = ("/", "/docs", "/openapi.json", "/playground", "/shadow")
_OPEN_FOLDERS: Final = ("/playground/",)
_ADMIN: Final = ("/admin", "/shadow")


class AccessMiddleware:
    """Refuses requests without a valid API key, and stores the key's name as the client.

    Without keys, only the changes of `/admin` are refused. A key in the body is checked by the route.
    """

    def __init__(self, app: ASGIApp, keys: Keys | None) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, or answer 401 or 403."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except (Unauthorized, Forbidden) as error:
                await respond(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if self._keys is None:
            if path.startswith("/admin"):
                raise Forbidden("/admin needs API keys: start the server with --keys FILE, written by lineage keys add")
            return
        if is_open(path):
            return
        protocol = protocol_of(path)
        tokens = set(_tokens(scope, protocol))
        if not tokens and protocol.key_in_body:
            scope[IN_BODY] = True  # the route checks it
            return
        key = find_key(self._keys, tokens)
        scope[CLIENT] = key.name
        if path != "/metrics":
            check_scope(key, "admin" if path.startswith(_ADMIN) else "detect")


def is_open(path: str) -> bool:
    """Return whether a path needs no key."""
    return path in _OPEN or path.startswith(_OPEN_FOLDERS) or is_health_check(path)


def _tokens(scope: Scope, protocol: Protocol) -> Iterator[str]:
    """Yield the keys in the headers. Credentials of another scheme, such as those for a proxy, are ignored."""
    for name, value in scope["headers"]:
        if name in (API_KEY, protocol.key_header):
            yield value.decode("latin-1").strip()
        elif name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer":
                yield token.strip()
