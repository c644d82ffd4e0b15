"""Middleware of Ray's proxy: a request whose replica dies gets a 503, which clients may send again.

    RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=service.deploy.ray.proxy:middleware

Without it the proxy sends nothing, and its server makes a 500 of that.
"""

from __future__ import annotations

from typing import Final

from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import RETRY_AFTER, problem
from service.api.protocols import PROBLEM
from service.inference.errors import NotReady
from service.middleware.request_id import RequestIdMiddleware

LOST: Final = "the replica that had this request has ended; send it again"


class LostReplicaMiddleware:
    """Answers the requests that the proxy does not answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answer = RequestIdMiddleware(_answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the proxy, and answer if it has not."""
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        await self._app(scope, receive, send_noted)
        if scope["type"] == "http" and not started:
            await self._answer(scope, receive, send)


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(problem(NotReady(LOST)).to_dict(), 503, RETRY_AFTER, PROBLEM)(scope, receive, send)


def middleware() -> list[Middleware]:
    """Return the middleware. Ray calls this when it starts a proxy."""
    return [Middleware(LostReplicaMiddleware)]
