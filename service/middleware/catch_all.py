"""Unhandled exceptions as problem responses."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import respond


class CatchAllMiddleware:
    """Answers an exception that no handler caught with a problem instead of a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application. An exception after the response has started is raised again."""
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            if started or scope["type"] == "lifespan":
                raise
            await respond(error)(scope, receive, send)
