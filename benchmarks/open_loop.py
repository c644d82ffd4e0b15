"""Load generator: requests at Poisson arrivals over kept-alive connections, whatever the server does.

    load = Load(port, request_bytes(path, body, timeout=0.5), connections=64, address="127.0.0.2")
    answers = await load.run(rate=100, seconds=10)

Latency counts from the scheduled arrival, so a server that stops reading gains nothing. A request that arrives while
all connections are in use is not sent, as by a client with a pool of them. A client is a local address.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.peers.load import Connection

UNSENT: Final = -1


@dataclass(frozen=True)
class Answer:
    """The answer to one request."""

    status: int
    """HTTP status, 0 for a connection that ended without an answer, UNSENT if all connections were in use."""
    seconds: float
    """From the scheduled arrival to the last byte."""
    finished: float
    """Time of the last byte, on the event loop's clock."""


def request_bytes(path: str, body: bytes, timeout: float | None = None) -> bytes:
    """Return a POST request of an image. `timeout` is sent as X-Request-Timeout, in seconds."""
    deadline = f"X-Request-Timeout: {timeout:.3f}\r\n" if timeout else ""
    head = f"POST {path} HTTP/1.1\r\nHost: benchmark\r\nContent-Type: image/jpeg\r\n{deadline}"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Load:
    """Sends one request again and again, over up to `connections` connections from one local address."""

    def __init__(self, port: int, request: bytes, connections: int, address: str = "127.0.0.1", seed: int = 0) -> None:
        self._port, self._request, self._address = port, request, address
        self._free: deque[Connection | None] = deque([None] * connections)
        self._available = asyncio.Semaphore(connections)
        self._arrivals = random.Random(seed)
        self.answers: list[Answer] = []
        self.started = 0.0

    async def run(self, rate: float, seconds: float) -> Sequence[Answer]:
        """Send requests at `rate` per second in the mean, and return all answers."""
        loop = asyncio.get_running_loop()
        await self.open()
        arrival = self.started = loop.time()
        end = arrival + seconds
        async with asyncio.TaskGroup() as group:
            while (arrival := arrival + self._arrivals.expovariate(rate)) < end:
                await asyncio.sleep(arrival - loop.time())
                if self._available.locked():
                    self.answers.append(Answer(UNSENT, 0.0, loop.time()))
                else:
                    group.create_task(self._request_at(arrival))
        self.close()
        return self.answers

    async def run_closed(self, seconds: float) -> Sequence[Answer]:
        """Keep one request in flight on each connection for a while, and return the answers until then."""
        loop = asyncio.get_running_loop()
        await self.open()
        end = loop.time() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(len(self._free)):
                group.create_task(self._repeat_until(end))
        self.close()
        return [answer for answer in self.answers if answer.finished <= end]

    async def open(self) -> None:
        """Open all connections, a few at a time."""
        for number in range(len(self._free)):
            self._free[number] = await self._connect()

    def close(self) -> None:
        """Close all connections."""
        for connection in self._free:
            if connection and connection.transport:
                connection.transport.abort()

    async def _repeat_until(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < end:
            await self._request_at(loop.time())

    async def _request_at(self, arrival: float) -> None:
        async with self._available:
            connection = self._free.popleft()
            if connection is None or connection.transport is None or connection.transport.is_closing():
                connection = await self._connect()
            status, _ = await connection.send(self._request)
            self._free.append(connection)
        now = asyncio.get_running_loop().time()
        self.answers.append(Answer(status, now - arrival, now))

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port, local_addr=(self._address, 0))
        return connection


def quantile(answers: Sequence[Answer], share: float, status: int = 200) -> float:
    """Return a quantile of the seconds of all answers with a status, NaN without any."""
    seconds = [answer.seconds for answer in answers if answer.status == status]
    return float(np.quantile(seconds, share)) if seconds else float("nan")


def share(answers: Sequence[Answer], status: int) -> float:
    """Return the share of answers with a status."""
    return sum(answer.status == status for answer in answers) / max(len(answers), 1)
