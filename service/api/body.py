"""Receive request bodies into memory, within limits on bytes and time. Nothing is written to disk.

Bytes are counted as received: a wrong Content-Length is not trusted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from service.api.errors import BadRequest, BodyTooLarge, BodyTooSlow
from service.inference.memory import Reservation
from service.inference.request import RequestContext
from service.state import AppState
from service.telemetry.request import current_request


async def receive(request: Request, context: RequestContext, memory: Reservation) -> bytes:
    """Return the body as sent.

    Raises:
        RequestError: as `receive_into`.
        MemoryFull: the memory for request bodies is at its limit.
    """
    chunks: list[bytes] = []
    await receive_into(request, context, memory, chunks.append)
    return b"".join(chunks)


async def receive_into(
    request: Request, context: RequestContext, memory: Reservation, consume: Callable[[bytes], object]
) -> None:
    """Pass the body to `consume` in chunks, add its bytes to `memory`, and record the time.

    Raises:
        BadRequest: the client disconnected.
        BodyTooLarge: the body exceeds the setting `max_body`.
        BodyTooSlow: the body did not arrive before the deadline.
        MemoryFull: the memory for request bodies is at its limit.
    """
    state: AppState = request.state.service
    begin = asyncio.get_running_loop().time()
    async with arrival(context.deadline, "send a smaller one, or over a faster connection"):
        await _receive(request, state.settings.max_body, memory, consume)
    seconds, record = asyncio.get_running_loop().time() - begin, current_request()
    record.add({"receive": seconds})
    state.metrics.stage_seconds.labels(record.model, "receive").observe(seconds)


@asynccontextmanager
async def arrival(deadline: float, advice: str) -> AsyncIterator[None]:
    """Limit the time in which the block receives a body. `advice` is for clients that are too slow.

    Raises:
        BadRequest: the client disconnected.
        BodyTooSlow: the body did not arrive before the deadline.
    """
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as error:
        raise BodyTooSlow(f"the body did not arrive in time; {advice}") from error
    except ClientDisconnect as error:
        raise BadRequest("the client disconnected while sending the body") from error


async def _receive(request: Request, max_bytes: int, memory: Reservation, consume: Callable[[bytes], object]) -> None:
    too_large = BodyTooLarge(f"the body: expected at most {max_bytes:,} bytes; send fewer or smaller images")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise too_large
        memory.add(len(chunk))
        consume(chunk)
