"""Calls of one message, and streams of messages, within the limits of the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

from grpc import StatusCode
from grpc.aio import EOF, BaseError, InternalError, ServicerContext
from starlette.types import Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.api.errors import BadRequest, BodyTooSlow, Forbidden, Unauthorized
from service.api.oip.encoding import decompress
from service.api.oip.grpc.call import Call, Failure, authorize, make_scope
from service.api.oip.grpc.methods import PROBE_SECONDS, STREAM, Method, model_infer
from service.api.oip.grpc.protobuf import message, parse
from service.inference.memory import Reservation
from service.inference.request import RequestContext
from service.settings import split_list
from service.state import AppState
from service.telemetry.logs import OncePerSecond

LOG: Final = logging.getLogger(__name__)
LOG.addFilter(OncePerSecond())
MAX_IN_STREAM: Final = 32  # messages of a stream that are answered at a time
CROWDED_SECONDS: Final = 5.0  # to receive a message while others wait for their turn
# First bytes of compressed messages, which no message of the protocol begins with.
ENCODINGS: Final = {b"\x1f": "gzip", b"\x78": "deflate"}


class Calls:
    """Answers calls. Messages arrive as bytes, so that they are received and parsed within limits.

    gRPC assembles a message before anyone sees its size. So only as many are received at once as fit into the memory
    for request bodies if each one has the maximum size.
    """

    def __init__(self, state: AppState) -> None:
        self._state = state
        self._receiving = asyncio.Semaphore(state.settings.max_pending // state.settings.max_body)
        self._limits: set[asyncio.Timeout] = set()
        self._proxies: Any = ProxyHeadersMiddleware(_ignore, split_list(state.settings.trusted_proxies or ""))
        self.closing = asyncio.Event()
        """Set when the server stops. Streams then end after the answers to their messages."""

    async def answer(self, method: Method, _: object, rpc: ServicerContext) -> None:
        """Answer a call of one message."""
        with Call(self._state, await self._scope(rpc, method.path)) as call:
            answer = await call.attempt(self._answer(method, call, rpc))
            if isinstance(answer, Failure):
                with suppress(InternalError):  # gRPC has ended the call itself, as after a message over the limit
                    await rpc.abort(answer.code, answer.text, answer.metadata)
            else:
                rpc.set_trailing_metadata(call.metadata)
                await rpc.write(answer)

    async def stream(self, _: object, rpc: ServicerContext) -> None:
        """Answer the messages of a stream, in the order in which they finish."""
        scope = await self._scope(rpc, STREAM)
        try:
            authorize(self._state, scope, "detect")
        except (Unauthorized, Forbidden) as error:
            with Call(self._state, scope) as call:
                failure = call.fail(error)
            await rpc.abort(failure.code, failure.text, failure.metadata)
        try:
            await self._answer_messages(scope, rpc)
        except* TimeoutError:
            LOG.warning("a stream is closed: its client does not read the answers")
        if self.closing.is_set():
            await rpc.abort(StatusCode.UNAVAILABLE, "the server is shutting down; open a new stream")

    async def _answer_messages(self, scope: Scope, rpc: ServicerContext) -> None:
        in_flight, writing = asyncio.Semaphore(MAX_IN_STREAM), asyncio.Lock()
        async with asyncio.TaskGroup() as group:
            await in_flight.acquire()
            async for data in self.messages(rpc):
                task = group.create_task(self._answer_in_stream(data, dict(scope), rpc, writing))
                task.add_done_callback(lambda _: in_flight.release())
                await in_flight.acquire()

    async def messages(self, rpc: ServicerContext) -> AsyncIterator[bytes]:
        """Yield the messages of a stream until its end, or until the server stops."""
        closing = asyncio.ensure_future(self.closing.wait())
        try:
            while not self.closing.is_set():
                reading = asyncio.ensure_future(rpc.read())
                await asyncio.wait((reading, closing), return_when=asyncio.FIRST_COMPLETED)
                if not reading.done() or reading.result() is EOF:
                    reading.cancel()
                    return
                yield reading.result()
        finally:
            closing.cancel()

    async def _answer(self, method: Method, call: Call, rpc: ServicerContext) -> bytes:
        context, memory = call.admit(method.needed, rpc.time_remaining())
        request = method.request()
        parse(request, await self._receive(method, call, rpc, context, memory))
        reply: bytes = (await method.run(self._state, request, context)).SerializeToString()
        memory.add(len(reply))
        call.exchange.sent = len(reply)
        return reply

    async def _receive(
        self, method: Method, call: Call, rpc: ServicerContext, context: RequestContext, memory: Reservation
    ) -> bytes:
        started, read = call.exchange.seconds, self._read_probe if method.needed is None else self._read
        try:
            data = await read(rpc, context.deadline)
        except TimeoutError as error:
            advice = "send a smaller one, or over a faster connection"
            raise BodyTooSlow(f"the message did not arrive in time; {advice}") from error
        if data is EOF:
            raise BadRequest("expected one message; got none")
        call.exchange.record.add({"receive": call.exchange.seconds - started})
        return await self._unpack(call, data, memory)

    async def _read(self, rpc: ServicerContext, deadline: float) -> Any:
        """Return a message once it is its turn to be received. Those that are received then have little time left."""
        async with asyncio.timeout_at(deadline) as limit:
            if self._receiving.locked():
                soon = asyncio.get_running_loop().time() + CROWDED_SECONDS
                for other in self._limits:
                    if not other.expired():
                        other.reschedule(min(other.when() or soon, soon))
            async with self._receiving:
                self._limits.add(limit)
                try:
                    return await rpc.read()
                finally:
                    self._limits.discard(limit)

    async def _read_probe(self, rpc: ServicerContext, deadline: float) -> Any:
        """Return the message of a probe, which waits for no other."""
        soon = asyncio.get_running_loop().time() + PROBE_SECONDS
        async with asyncio.timeout_at(min(deadline, soon)):
            return await rpc.read()

    async def _unpack(self, call: Call, data: bytes, memory: Reservation) -> bytes:
        """Reserve the memory of a message and decompress it."""
        call.exchange.received = len(data)
        memory.add(len(data))
        return await decompress(data, ENCODINGS.get(data[:1], ""), self._state.settings.max_body, memory)

    async def _answer_in_stream(self, data: bytes, scope: Scope, rpc: ServicerContext, writing: asyncio.Lock) -> None:
        with Call(self._state, scope) as call:
            request = message("ModelInferRequest")()
            answer = await call.attempt(self._infer(call, request, data, rpc.time_remaining()))
            if isinstance(answer, Failure):
                described = message("ModelInferResponse")(id=request.id)
                answer = message("ModelStreamInferResponse")(error_message=answer.text, infer_response=described)
            reply = answer.SerializeToString()
            call.exchange.sent = len(reply)
            async with asyncio.timeout(self._state.settings.timeout), writing:
                with suppress(BaseError):  # the client has gone
                    await rpc.write(reply)

    async def _infer(self, call: Call, request: Any, data: bytes, seconds: float | None) -> Any:
        """Answer a message of a stream, which `request` receives."""
        context, memory = call.admit("detect", seconds)
        parse(request, await self._unpack(call, data, memory))
        response = await model_infer(self._state, request, context)
        memory.add(response.ByteSize())
        return message("ModelStreamInferResponse")(infer_response=response)

    async def _scope(self, rpc: ServicerContext, path: str) -> Scope:
        """Return a call as an HTTP request, whose client is the one that a trusted proxy names."""
        scope = make_scope(rpc, path)
        await self._proxies(scope, None, None)
        return scope


async def _ignore(*_: Any) -> None:
    """Do nothing, as the application behind a middleware that changes the scope."""
