"""Rate limits of requests, checked before the body is read."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.rate_limit import RateLimit, client_network
from service.api.access import take_turn
from service.api.context import CLIENT
from service.api.errors import RateLimited
from service.api.problems import respond
from service.api.protocols import is_health_check


class RateLimitMiddleware:
    """Answers 429 to a client that sends too many requests. Health checks do not count."""

    def __init__(self, app: ASGIApp, limit: RateLimit, identify: Callable[[Scope], str | None], what: str) -> None:
        """Limit what `identify` returns, which the error calls `what`. None is not limited."""
        self._app, self._limit, self._identify, self._what = app, limit, identify, what

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application if the client has a token left."""
        try:
            self._take_turn(scope)
        except RateLimited as error:
            await respond(error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _take_turn(self, scope: Scope) -> None:
        if scope["type"] != "lifespan" and not is_health_check(scope["path"]):
            client = self._identify(scope)
            if client is not None:
                take_turn(self._limit, client, self._what)


def by_key(scope: Scope) -> str | None:
    """Return the name of the API key, or None without one."""
    name: str | None = scope.get(CLIENT)
    return name


def by_address(scope: Scope) -> str:
    """Return the address of the client. Those without a valid one share a limit."""
    return client_network(scope["client"][0] if scope.get("client") else "")
