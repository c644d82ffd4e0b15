"""POST /detect without FastAPI's router, parameters and handlers of errors, and with equal queries parsed once."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.native import query_errors
from service.api.native.schemas import DetectQuery

MAX_QUERIES: Final = 64  # of up to 16 KiB
_LISTS: Final = ("classes",)


class DirectRoute:
    """ASGI middleware that calls `endpoint(request, query)` of one route. FastAPI describes it in the schema.

    Other errors than those of the query are for the middleware around it. All other requests go to the router, and so
    do those behind a root path.
    """

    def __init__(self, app: ASGIApp, route: APIRoute) -> None:
        self._app, self._route = app, route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of the route."""
        if scope.get("method") != "POST" or scope["path"] != self._route.path or scope.get("root_path"):
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        request = Request(scope, receive, send)
        try:
            response: Response = await self._route.endpoint(request, parse_query(scope["query_string"]))
        except RequestValidationError as error:
            response = await query_errors.handle(request, error)
        await response(scope, receive, send)


@lru_cache(MAX_QUERIES)
def parse_query(query_string: bytes) -> DetectQuery:
    """Return the parsed query.

    Raises:
        RequestValidationError: a parameter is unknown or malformed, as FastAPI reports it.
    """
    sent = QueryParams(query_string)
    values = {name: sent.getlist(name) if name in _LISTS else sent[name] for name in sent}
    try:
        return DetectQuery.model_validate(values)
    except ValidationError as error:
        faults = [{**fault, "loc": ("query", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults) from None
