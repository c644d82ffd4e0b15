"""Readiness by the standard protocol grpc.health.v1, which probes and load balancers ask."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from grpc import StatusCode
from grpc.aio import EOF, ServicerContext
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from starlette.exceptions import HTTPException

from service.api.errors import BadRequest
from service.api.oip.grpc.methods import PROBE_SECONDS, Method
from service.api.oip.grpc.protobuf import SERVICE, parse
from service.inference.request import RequestContext
from service.state import AppState

NAME: Final = "grpc.health.v1.Health"
SERVICES: Final = ("", SERVICE)
POLL: Final = 0.5


async def check(state: AppState, request: Any, _: RequestContext) -> Any:
    """Return the status of a service.

    Raises:
        HTTPException: the service is unknown.
    """
    if request.service not in SERVICES:
        raise HTTPException(404, f"expected the service {SERVICE} or none; got {request.service[:100]!r}")
    return HealthCheckResponse(status=_status(state))


CHECK: Final = Method(f"{NAME}/Check", HealthCheckRequest, check, None)


async def watch(state: AppState, closing: asyncio.Event, _: object, rpc: ServicerContext) -> None:
    """Send the status of a service, and each change of it, until the client leaves or the server stops."""
    request, sent = HealthCheckRequest(), None
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            data = await rpc.read()
        parse(request, b"" if data is EOF else data)
    except (BadRequest, TimeoutError) as error:
        await rpc.abort(StatusCode.INVALID_ARGUMENT, str(error) or "expected a message at once")
    while True:
        status = _status(state, stopping=closing.is_set())
        status = status if request.service in SERVICES else HealthCheckResponse.SERVICE_UNKNOWN
        if status != sent:
            await rpc.write(HealthCheckResponse(status=status).SerializeToString())
        sent = status
        if closing.is_set():
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), POLL)


def _status(state: AppState, *, stopping: bool = False) -> Any:
    return HealthCheckResponse.NOT_SERVING if stopping or state.missing() else HealthCheckResponse.SERVING
