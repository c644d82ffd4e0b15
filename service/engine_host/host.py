"""The engine host: opens engines for front ends in other processes, and makes batches of the images of all of them.

    await EngineHost(open_engine, max_delay=0.002).serve(listening)

An engine is open as long as a connection to it is. See `client` for the other side.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import mmap
import os
import socket
import uuid
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from operator import methodcaller
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Package
from model_zoo.runtime.base import Engine, EngineOptions, OpenEngine
from service.engine_host.messages import (
    Document,
    describe_error,
    find_package,
    pack,
    parse_options,
    read,
    receive_first,
)
from service.inference.batcher import Batcher
from service.inference.request import RequestContext
from service.inference.timed_calls import LOAD_SECONDS, TimedCalls

FIRST_MESSAGE_SECONDS: Final = 10.0
WAIT_SECONDS: Final = 600.0  # front ends give up sooner, by their own limits
MAX_WAITING: Final = 1 << 16  # connections bound the images that wait
LOG = logging.getLogger(__name__)
Key = tuple[Package, EngineOptions]
# Canvas (H, W, 3), and thresholds of score, measure and distance weight.
Job = tuple[NDArray[np.uint8], Sequence[float]]
Found = tuple[NDArray[np.float32], int]


@dataclass(eq=False)
class _Shared:
    """An open engine and its users."""

    key: Key
    engine: Engine
    batcher: Batcher[Job, Found]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    users: int = 0
    is_warm: bool = False
    warming: asyncio.Lock = field(default_factory=asyncio.Lock)

    def describe(self) -> Document:
        """Return what a front end must know."""
        return {
            "id": self.id,
            "device": self.engine.device,
            "runs": self.engine.workers * self.engine.max_batch,
            "canvases": list(self.engine.canvases),
            "choice": asdict(self.engine.choice),
        }


class EngineHost:
    """Serves connections of front ends."""

    def __init__(self, open_engine: OpenEngine, max_delay: float = 0.0) -> None:
        """Open engines with `open_engine`. An image waits up to `max_delay` seconds for its batch to fill."""
        self._open_engine, self._max_delay = open_engine, max_delay
        self._current: dict[Key, _Shared] = {}
        self._open: dict[str, _Shared] = {}
        self._turns: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._calls = TimedCalls("open-engine")
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count()

    async def serve(self, listening: socket.socket) -> None:
        """Accept connections until cancelled."""
        listening.setblocking(False)
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listening)
            self._start(self._serve(connection))

    def _start(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        """Serve one connection until its front end closes it or ends."""
        with connection, suppress(OSError, asyncio.IncompleteReadError):
            connection.settimeout(FIRST_MESSAGE_SECONDS)
            opening, descriptor = await asyncio.to_thread(receive_first, connection)
            try:
                memory = np.frombuffer(mmap.mmap(descriptor, 0), np.uint8)
            finally:
                os.close(descriptor)
            reader, writer = await asyncio.open_unix_connection(sock=connection)
            try:
                await self._answer_all(opening, memory, reader, writer)
            finally:
                writer.close()

    async def _answer_all(
        self,
        opening: Document,
        memory: NDArray[np.uint8],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        try:
            shared = await self._find(opening)
        except Exception as error:
            if not isinstance(error, LineageError):
                LOG.error("an engine cannot be opened", exc_info=error)
            writer.write(pack(describe_error(error)))
            return await writer.drain()
        shared.users += 1
        client = str(next(self._numbers))
        try:
            writer.write(pack(shared.describe()))
            while True:
                question = await read(reader)
                writer.write(await self._answer(shared, question, memory, client))
        finally:
            shared.users -= 1
            if not shared.users:
                self._close(shared)

    async def _answer(self, shared: _Shared, question: Document, memory: NDArray[np.uint8], client: str) -> bytes:
        try:
            if "warm_up" in question:
                await self._warm_up(shared)
                return pack({})
            rows, count = await self._run(shared, question, memory, client)
            return pack({"shape": rows.shape, "count": count}, rows.tobytes())
        except Exception as error:
            return pack(describe_error(error))

    async def _run(self, shared: _Shared, question: Document, memory: NDArray[np.uint8], client: str) -> Found:
        height, width = question["canvas"]
        canvas = memory[: height * width * 3].reshape(height, width, 3)
        context = RequestContext(asyncio.get_running_loop().time() + WAIT_SECONDS, client)
        job = (canvas, question["thresholds"])
        return (await shared.batcher.submit(job, context, group=(height, width))).value

    async def _warm_up(self, shared: _Shared) -> None:
        async with shared.warming:
            if not shared.is_warm:
                await self._calls.wait_for(shared.engine.warm_up, LOAD_SECONDS, drop=_ignore)
                shared.is_warm = True

    async def _find(self, opening: Document) -> _Shared:
        """Return the engine that a connection asks for, and open it if needed."""
        if number := opening.get("id"):
            if number not in self._open:
                raise ConnectionError("the engine is not open any more")
            return self._open[number]
        package, options = await asyncio.to_thread(find_package, opening["package"]), parse_options(opening["options"])
        key = (package, options)
        async with self._turns[key]:
            current = self._current.get(key)
            if current is None or current.id == opening["broken"]:
                self._current[key] = current = await self._load(key)
                self._open[current.id] = current
            return current

    async def _load(self, key: Key) -> _Shared:
        package, options = key
        load = partial(self._open_engine, package, options)
        engine = await self._calls.wait_for(load, LOAD_SECONDS, drop=methodcaller("close"))
        LOG.info("opened %s on %s", package.reference, engine.device)
        batcher: Batcher[Job, Found] = Batcher(
            partial(run_batch, engine),
            workers=engine.workers,
            max_batch=engine.max_batch,
            max_delay=self._max_delay,
            queue_size=MAX_WAITING,
        )
        return _Shared(key, engine, batcher)

    def _close(self, shared: _Shared) -> None:
        """Close an engine without users in the background: one that hangs never closes."""
        del self._open[shared.id]
        if self._current.get(shared.key) is shared:
            del self._current[shared.key]
        LOG.info("closed %s", shared.key[0].reference)
        self._start(_end(shared))


async def _end(shared: _Shared) -> None:
    await shared.batcher.close()
    await asyncio.to_thread(shared.engine.close)


def _ignore(_: object) -> None:
    """Do nothing."""


def run_batch(engine: Engine, jobs: Sequence[Job]) -> list[Found]:
    """Run images of one size, and return rows and count of each."""
    canvases, thresholds = zip(*jobs, strict=True)
    score, iou, distance = np.array(thresholds, np.float32).T
    images = np.stack(canvases) if len(canvases) > 1 else canvases[0][None]
    feeds = {"images": images, "score_threshold": score, "iou_threshold": iou, "distance_weight": distance}
    rows, counts = engine.run(feeds)
    return [(image_rows, int(count)) for image_rows, count in zip(rows, counts, strict=True)]
