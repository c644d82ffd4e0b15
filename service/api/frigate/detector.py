"""Answer the requests of Frigate with the default model."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from typing import Final

from model_zoo.contract.errors import ImageError, LineageError
from service.api.access import take_turn
from service.api.frigate.messages import NO_DETECTIONS, QUERY, Frames, Header, encode, read_header, read_tensor
from service.api.problems import describe
from service.inference.errors import ServiceError
from service.inference.request import RequestContext
from service.state import AppState
from service.telemetry.exchange import NO_ANSWER, Exchange, Outcome
from service.telemetry.logs import OncePerSecond, request_id

REFUSALS: Final = logging.getLogger(f"{__name__}.refusals")
REFUSALS.addFilter(OncePerSecond())
PROTOCOL: Final = "frigate-zmq"


class FrigateDetector:
    """Answers every request, because its client waits for the answer. Reasons of refusals are logged."""

    def __init__(self, state: AppState) -> None:
        self._state = state

    async def answer(self, frames: Frames, client: str) -> bytes:
        """Return the answer to a client, and measure the request. A refused one has no detections."""
        request_id.set(uuid.uuid4().hex)
        exchange = Exchange(PROTOCOL, self._state.tracer, PROTOCOL, {}, "")
        exchange.received = sum(map(len, frames))
        status, answer = NO_ANSWER, NO_DETECTIONS
        try:
            answer = await self._respond(frames, client)
            status = 200
        except Exception as error:
            described = describe(error)
            status = described.status
            REFUSALS.warning("no detections: %s", described.detail)
        finally:
            exchange.sent = len(answer) if status != NO_ANSWER else 0
            exchange.finish(self._state.metrics, Outcome(status, PROTOCOL))
        return answer

    async def _respond(self, frames: Frames, client: str) -> bytes:
        take_turn(self._state.access.address_limit, client, "address")
        header = read_header(frames)
        if header.model_request or header.model_data:
            return await self._describe_model(header, client)
        tensor = read_tensor(header, frames)
        context = self._context_of(client)
        with self._state.memory.reserve(client) as memory:
            memory.add(len(tensor.data))
            result = await self._state.detection.detect_arrays([tensor.pixels], None, [QUERY], context)
        image = result.images[0]
        if isinstance(image, ImageError):
            raise image
        return encode(image)

    async def _describe_model(self, header: Header, client: str) -> bytes:
        """Return whether the default model is loaded. Frigate sends no model that is available."""
        loaded = True
        try:
            await self._state.detection.check(None, QUERY, self._context_of(client))
        except (LineageError, ServiceError) as error:
            REFUSALS.warning("the default model cannot be used: %s", error)
            loaded = False
        known = {"model_saved": False} if header.model_data else {"model_available": True}
        return json.dumps({**known, "model_loaded": loaded}).encode()

    def _context_of(self, client: str) -> RequestContext:
        deadline = asyncio.get_running_loop().time() + self._state.settings.timeout
        return RequestContext(deadline, client, request_id=request_id.get())
