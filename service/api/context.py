"""Deadline, priority and client of a request, from its headers, for every HTTP protocol."""

from __future__ import annotations

import asyncio
import math
from typing import Final, cast

from starlette.requests import HTTPConnection

from service.access.rate_limit import client_network
from service.api.errors import BadRequest
from service.inference.fair_queue import PRIORITIES
from service.inference.request import Priority, RequestContext
from service.telemetry.logs import request_id

TIMEOUT: Final = "x-request-timeout"
PRIORITY: Final = "x-request-priority"
# Where the access middleware stores the name of the API key.
CLIENT: Final = "lineage.client"


def read_context(request: HTTPConnection, timeout: float) -> RequestContext:
    """Return deadline, priority, client and headers of a request. `timeout` is the server's limit in seconds.

    Raises:
        BadRequest: a header is malformed.
    """
    seconds = min(timeout, _timeout(request.headers.get(TIMEOUT)))
    address = client_network(request.client.host if request.client else "")
    return RequestContext(
        deadline=asyncio.get_running_loop().time() + seconds,
        client=request.scope.get(CLIENT, address),
        priority=_priority(request.headers.get(PRIORITY, "normal")),
        request_id=request_id.get(),
        metadata=request.headers,
    )


def _timeout(text: str | None) -> float:
    """Return the seconds of an X-Request-Timeout header, or infinity without one."""
    try:
        seconds = math.inf if text is None else float(text)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise BadRequest(f"X-Request-Timeout: expected seconds above 0, such as 0.5; got {str(text)[:100]!r}")
    return seconds


def _priority(text: str) -> Priority:
    if text not in PRIORITIES:
        raise BadRequest(f"X-Request-Priority: expected {' or '.join(PRIORITIES)}; got {text[:100]!r}")
    return cast(Priority, text)
