"""Handlers of all methods that clients may call, by service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import grpc
from grpc.aio import ServicerContext

from service.api.oip.grpc import health, reflection
from service.api.oip.grpc.calls import Calls
from service.api.oip.grpc.methods import METHODS, NOT_OFFERED, STREAM
from service.api.oip.grpc.protobuf import SERVICE
from service.state import AppState

MAX_OPEN: Final = 100  # open streams that need no key: health and reflection
Behavior = Callable[[object, ServicerContext], Awaitable[None]]


def make_handlers(state: AppState, calls: Calls) -> list[grpc.GenericRpcHandler]:
    """Return the handlers of all services. Those of one message read it themselves, too, within limits."""
    methods: dict[str, Behavior] = {method.path: partial(calls.answer, method) for method in (*METHODS, health.CHECK)}
    methods[STREAM] = calls.stream
    methods |= {f"{SERVICE}/{name}": partial(_refuse, name) for name in NOT_OFFERED}
    free = asyncio.Semaphore(MAX_OPEN)
    methods[f"{health.NAME}/Watch"] = partial(_limit, free, partial(health.watch, state, calls.closing))
    describe = partial(_limit, free, partial(reflection.reflect, reflection.make_reflection(), calls))
    methods |= {f"{name}/ServerReflectionInfo": describe for name in reflection.NAMES}
    services: dict[str, dict[str, grpc.RpcMethodHandler]] = {}
    for path, behavior in methods.items():
        service, _, method = path.partition("/")
        services.setdefault(service, {})[method] = grpc.stream_stream_rpc_method_handler(behavior)
    return [grpc.method_handlers_generic_handler(name, handlers) for name, handlers in services.items()]


async def _limit(free: asyncio.Semaphore, behavior: Behavior, request: object, rpc: ServicerContext) -> None:
    """Answer a call if few others of its kind are open. Strangers could keep all calls of the server open else."""
    if free.locked():
        text = f"{MAX_OPEN} streams of health and reflection are open; close some, or ask Check"
        await rpc.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
    async with free:
        await behavior(request, rpc)


async def _refuse(name: str, _: object, rpc: ServicerContext) -> None:
    """Refuse a method of the protocol that this server has not."""
    text = f"{name} is not offered: the server has no shared memory, and no trace and log settings by gRPC"
    await rpc.abort(grpc.StatusCode.UNIMPLEMENTED, text)
