"""API keys of HTTP requests, checked before the body is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from service.access import key_file
from service.access.keys import Keys
from service.api.context import CLIENT
from service.api.errors import Forbidden, Unauthorized
from service.api.problems import respond

API_KEY: Final = b"x-api-key"
HOW: Final = "expected an API key as Authorization: Bearer KEY or X-Api-Key: KEY"
_OPEN: Final = ("/", "/docs", "/openapi.json", "/playground", "/shadow", "/health")
_OPEN_FOLDERS: Final = ("/playground/", "/health/")
_ADMIN: Final = ("/admin", "/shadow")


class AccessMiddleware:
    """Refuses requests without a valid API key, and stores the key's name as the client.

    Without keys, only the changes of `/admin` are refused.
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
        key = self._find(self._keys, scope)
        scope[CLIENT] = key.name
        wanted: key_file.Scope = "admin" if path.startswith(_ADMIN) else "detect"
        if path != "/metrics" and not key.allows(wanted):
            raise Forbidden(f"expected a key with the scope {wanted}; {key.name} has {', '.join(key.scopes)}")

    def _find(self, keys: Keys, scope: Scope) -> key_file.Key:
        sent = set(_tokens(scope))
        if len(sent) != 1:
            raise Unauthorized(f"{HOW}; got {'two different keys' if sent else 'none'}")
        key = keys.find(sent.pop())
        if key is None:
            raise Unauthorized(f"{HOW}; the one sent is unknown or expired")
        return key


def is_open(path: str) -> bool:
    """Return whether a path needs no key."""
    return path in _OPEN or path.startswith(_OPEN_FOLDERS)


def _tokens(scope: Scope) -> Iterator[str]:
    """Yield the keys in the headers. Credentials of another scheme, such as those for a proxy, are ignored."""
    for name, value in scope["headers"]:
        if name == API_KEY:
            yield value.decode("latin-1").strip()
        elif name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer":
                yield token.strip()
