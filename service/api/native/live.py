"""/ws/detect: detections on the newest images of a camera, over a WebSocket. docs/live.md has the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from model_zoo.contract.errors import ImageError, LineageError
from service.access.rate_limit import client_network
from service.api.access import check_head_key
from service.api.context import CLIENT, read_context
from service.api.detection import count_unusable
from service.api.errors import Forbidden, RequestError, Unauthorized, UpgradeRequired
from service.api.json_text import write_json
from service.api.native.detect import timing_ms
from service.api.native.live_options import LiveOptions
from service.api.problems import describe, problem
from service.api.protocols import BY_NAME
from service.inference.errors import DeadlineExceeded, MemoryFull, Overloaded
from service.inference.memory import Reservation
from service.inference.request import RequestContext
from service.state import AppState
from service.telemetry.exchange import NO_ANSWER, Exchange, Outcome
from service.telemetry.request import current_request

PATH: Final = "/ws/detect"
SUBPROTOCOL: Final = "lineage.detect"
PROTOCOL: Final = BY_NAME["live"]
POLICY_VIOLATION: Final = 1008

router = APIRouter()


@router.get(PATH, include_in_schema=False)  # OpenAPI cannot describe a WebSocket
async def refuse_http() -> Response:
    """Answer a request that is no handshake with 426."""
    handshake = "Upgrade: websocket, Sec-WebSocket-Version: 13 and a Sec-WebSocket-Key, without a body"
    raise UpgradeRequired(f"{PATH}: expected {handshake}; single images go to POST /detect")


@router.websocket(PATH)
async def detect_live(websocket: WebSocket) -> None:
    """Answer the newest images of a connection until it ends."""
    state: AppState = websocket.state.service
    context = read_context(websocket, state.settings.timeout)
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None)
    with state.metrics.live_connections.track_inprogress(), state.memory.reserve(context.client) as memory:
        try:
            options = LiveOptions.of_query(websocket.scope["query_string"])
            await _Stream(websocket, context, options, memory).run()
        except WebSocketDisconnect:
            return
        except (Unauthorized, Forbidden) as error:
            await websocket.close(POLICY_VIOLATION, problem(error).title)
        except (RequestError, LineageError) as error:  # of the query
            await websocket.send_text(_text({"error": describe(error).to_dict()}))
            await websocket.close(POLICY_VIOLATION, problem(error).title)


@dataclass(frozen=True)
class _Frame:
    """An image of a stream."""

    number: int
    """Number of images before it."""
    data: bytes
    """Contents of the file."""
    options: LiveOptions
    """Options in force when it arrived."""
    arrived: float
    """Time of its arrival, on the event loop's clock."""


class _Stream:
    """One connection. One image is processed, and the newest one waits."""

    def __init__(
        self, websocket: WebSocket, context: RequestContext, options: LiveOptions, memory: Reservation
    ) -> None:
        self._socket, self._context, self._options, self._memory = websocket, context, options, memory
        self._state: AppState = websocket.state.service
        self._loop = asyncio.get_running_loop()
        self._seconds = context.deadline - self._loop.time()
        self._connection = current_request()
        self._received = 0
        self._current: _Frame | None = None
        self._waiting: _Frame | None = None
        self._arrived = asyncio.Event()

    async def run(self) -> None:
        """Receive and answer images until one of both fails.

        Raises:
            WebSocketDisconnect: the client has gone.
            Unauthorized, Forbidden: the key is no longer valid.
        """
        tasks = [asyncio.create_task(self._receive_all()), asyncio.create_task(self._answer_all())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        errors = [task.exception() for task in tasks if not task.cancelled()]
        raise next(filter(None, errors))

    async def _receive_all(self) -> None:
        while (message := await self._socket.receive())["type"] == "websocket.receive":
            if message.get("bytes") is None:
                await self._change_options(message["text"])
            else:
                self._offer(_Frame(self._received, message["bytes"], self._options, self._loop.time()))
                self._received += 1
        raise WebSocketDisconnect

    async def _change_options(self, text: str) -> None:
        try:
            self._options = self._options.changed(text)
        except (RequestError, LineageError) as error:
            await self._send({"error": problem(error).to_dict()})

    def _offer(self, frame: _Frame) -> None:
        """Keep an image instead of the one that waits."""
        self._drop_waiting()
        self._waiting = frame
        try:
            self._reserve()
        except MemoryFull:
            self._drop_waiting()
        else:
            self._arrived.set()

    def _drop_waiting(self) -> None:
        if self._waiting:
            self._state.metrics.live_images.labels("dropped").inc()
        self._waiting = None

    def _reserve(self) -> None:
        """Reserve the memory of both images."""
        self._memory.resize(sum(len(frame.data) for frame in (self._current, self._waiting) if frame))

    async def _answer_all(self) -> None:
        while True:
            await self._arrived.wait()
            await self._take_turn()
            self._arrived.clear()
            self._current, self._waiting = self._waiting, None
            if self._current and (answer := await self._answer(self._current)):
                await self._send(answer)
            self._current = None
            self._reserve()

    async def _take_turn(self) -> None:
        """Wait until the rate limits allow an image.

        Raises:
            Unauthorized, Forbidden: the key is no longer valid.
        """
        access, scope = self._state.access, self._socket.scope
        if access.keys:
            check_head_key(access.keys, scope, PROTOCOL, "detect")
        address = client_network(scope["client"][0] if scope.get("client") else "")
        for limit, client in ((access.address_limit, address), (access.key_limit, scope.get(CLIENT))):
            while limit is not None and client is not None and (wait := limit.take(client)):
                await asyncio.sleep(wait)

    async def _answer(self, frame: _Frame) -> dict[str, Any] | None:
        """Return the answer to an image, or None if it is dropped because of overload."""
        metrics, traceparent = self._state.metrics, self._socket.headers.get("traceparent", "")
        exchange = Exchange(PROTOCOL.name, self._state.tracer, f"{PATH} image", {"url.path": PATH}, traceparent)
        exchange.received, exchange.client = len(frame.data), self._socket.scope.get(CLIENT, "")
        status, end = NO_ANSWER, "dropped"
        try:
            answer = await self._detect(frame)
            status, end = 200, "answered"
            return answer
        except Exception as error:
            described = describe(error)
            status = described.status
            if isinstance(error, Overloaded | DeadlineExceeded):
                return None
            end = "refused"
            return {"frame": frame.number, "error": described.to_dict()}
        finally:
            self._connection.images += end == "answered"
            metrics.live_images.labels(end).inc()
            exchange.finish(metrics, Outcome(status, f"{PATH} image {frame.number}", is_probe=True))

    async def _detect(self, frame: _Frame) -> dict[str, Any]:
        """Return the detections of an image.

        Raises:
            LineageError, ServiceError: as `DetectionService.detect`, also if the image cannot be used.
        """
        context = replace(self._context, deadline=frame.arrived + self._seconds)
        options = frame.options
        result = await self._state.detection.detect([frame.data], options.query.model, options.resolved, context)
        count_unusable(self._state, result)
        image, package = result.images[0], result.package
        if isinstance(image, ImageError):
            raise image
        height, width = image.size
        return {
            "frame": frame.number,
            "model": package.name,
            "version": package.version,
            "width": width,
            "height": height,
            "detections": image.detections.to_dict(package.card.class_names),
            "timing_ms": timing_ms([image], self._loop.time() - frame.arrived),
        }

    async def _send(self, answer: Mapping[str, object]) -> None:
        await self._socket.send_text(_text(answer))


def _text(answer: Mapping[str, object]) -> str:
    return write_json(answer).decode()
