"""Load generator: a process of its own that sends prepared requests over kept-alive connections and reads answers.

In a closed loop each connection sends its next request after an answer. In an open loop requests have Poisson arrivals,
and latency counts from the scheduled arrival. CPU time of the server is read at the ends of the measured window.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

TICKS: Final = os.sysconf("SC_CLK_TCK")
PATIENCE: Final = 60.0
"""Seconds to wait for the last answers."""
MAX_CONNECTIONS: Final = 256
"""Connections of an open loop. Arrivals beyond them wait in the generator."""


@dataclass(frozen=True)
class Plan:
    """Requests to send, and when."""

    port: int
    """Port of the server."""
    requests: tuple[bytes, ...]
    """Requests to send in turns."""
    processes: tuple[int, ...]
    """Processes of the server."""
    seconds: float
    """Length of the measured window."""
    warm_up: float = 1.0
    """Seconds of load before the window."""
    connections: int = 1
    """Connections of a closed loop."""
    rate: float = 0.0
    """Mean arrivals per second of an open loop, 0 for a closed loop."""


@dataclass
class Outcome:
    """Measurements within the window."""

    seconds: float = 0.0
    """Length of the window."""
    latencies: list[float] = field(default_factory=list)
    """Seconds of the answers with status 200: of all that arrived in the window, or in an open loop were due in it."""
    finished: int = 0
    """Answers with status 200 that arrived in the window."""
    failures: int = 0
    """Requests with another answer, or none."""
    server_cpu: float = 0.0
    """CPU seconds of all processes of the server."""
    generator_cpu: float = 0.0
    """CPU seconds of the generator."""
    machine_cpu: float = 0.0
    """CPU seconds of the whole machine, with those that its hypervisor took."""

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.finished / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds of the server per answer."""
        return 1000 * self.server_cpu / max(self.finished, 1)

    @property
    def generator_cpu_ms(self) -> float:
        """CPU milliseconds of the generator per answer."""
        return 1000 * self.generator_cpu / max(self.finished, 1)

    @property
    def other_cores(self) -> float:
        """Cores that neither server nor generator used, but something else: neighbors, or noise."""
        return (self.machine_cpu - self.server_cpu - self.generator_cpu) / self.seconds

    def quantile_ms(self, share: float) -> float:
        """Return a quantile of the latencies in milliseconds. Failures count as infinite."""
        times = [*self.latencies, *([np.inf] * self.failures)]
        return float(1000 * np.quantile(times, share, method="higher")) if times else float("nan")


class Connection(asyncio.Protocol):
    """A kept-alive connection with one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        """End the request without an answer."""
        self.transport = None
        self._finish(0, b"")

    def data_received(self, data: bytes) -> None:
        """Finish the request once its answer is complete."""
        self._received += data
        answer = split_answer(self._received)
        if answer:
            self._received.clear()
            self._finish(*answer)

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a request. Return status, 0 without an answer, and the head and body of the answer."""
        if self.transport is None:
            return 0, b""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def _finish(self, status: int, answer: bytes) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result((status, answer))


def split_answer(received: bytearray) -> tuple[int, bytes] | None:
    """Return the status and all bytes of an answer once it is complete, in chunks or of a known length."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[:end]).lower()
    if b"transfer-encoding: chunked" in head:
        complete = received.endswith(b"0\r\n\r\n")
    else:
        lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
        complete = len(received) >= end + 4 + (lengths[0] if lengths else 0)
    return (int(head[9:12]), bytes(received)) if complete else None


def cpu_seconds(processes: Sequence[int]) -> float:
    """Return user and system time of processes. Those that ended count as 0."""
    total = 0
    for process in processes:
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def machine_cpu_seconds() -> float:
    """Return the time of all cores that was neither idle nor waiting for a disk, since the machine started."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split(None, 9)[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def go_first() -> None:
    """Run ahead of other processes where permitted: a real client has a machine of its own."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)


def run(plan: Plan) -> Outcome:
    """Run a plan."""
    return asyncio.run(_Load(plan).run())


class _Load:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._sent = 0
        self._start = self._end = 0.0
        self._outcome = Outcome(plan.seconds)

    async def run(self) -> Outcome:
        loop = asyncio.get_running_loop()
        self._start = loop.time() + self._plan.warm_up
        self._end = self._start + self._plan.seconds
        load = asyncio.create_task(self._open_loop() if self._plan.rate else self._closed_loop())
        await asyncio.sleep(self._start - loop.time())
        before = cpu_seconds(self._plan.processes), time.process_time(), machine_cpu_seconds()
        await asyncio.sleep(self._end - loop.time())
        self._outcome.server_cpu = cpu_seconds(self._plan.processes) - before[0]
        self._outcome.generator_cpu = time.process_time() - before[1]
        self._outcome.machine_cpu = machine_cpu_seconds() - before[2]
        await load
        return self._outcome

    async def _closed_loop(self) -> None:
        async with asyncio.timeout(self._end - asyncio.get_running_loop().time() + PATIENCE):
            await asyncio.gather(*(self._repeat() for _ in range(self._plan.connections)))

    async def _repeat(self) -> None:
        loop = asyncio.get_running_loop()
        connection: Connection | None = None
        while (begin := loop.time()) < self._end:
            connection = await self._exchange(connection, begin)
        _close(connection)

    async def _open_loop(self) -> None:
        loop = asyncio.get_running_loop()
        arrivals, due, free = random.Random(0), loop.time(), asyncio.LifoQueue[Connection | None]()
        for _ in range(MAX_CONNECTIONS):
            free.put_nowait(None)
        async with asyncio.timeout(self._end - due + PATIENCE), asyncio.TaskGroup() as group:
            while (due := due + arrivals.expovariate(self._plan.rate)) < self._end:
                await asyncio.sleep(due - loop.time())
                group.create_task(self._answer_on_any(free, due))
        while not free.empty():
            _close(free.get_nowait())

    async def _answer_on_any(self, free: asyncio.LifoQueue[Connection | None], due: float) -> None:
        free.put_nowait(await self._exchange(await free.get(), due))

    async def _exchange(self, connection: Connection | None, due: float) -> Connection:
        """Send the next request, on a new connection if necessary, and note the answer."""
        loop = asyncio.get_running_loop()
        if connection is None or connection.transport is None or connection.transport.is_closing():
            _, connection = await loop.create_connection(Connection, "127.0.0.1", self._plan.port)
        request = self._plan.requests[self._sent % len(self._plan.requests)]
        self._sent += 1
        status, _ = await connection.send(request)
        now = loop.time()
        self._outcome.finished += status == 200 and self._start <= now < self._end
        if self._start <= (due if self._plan.rate else now) < self._end:
            if status == 200:
                self._outcome.latencies.append(now - due)
            else:
                self._outcome.failures += 1
        return connection


def _close(connection: Connection | None) -> None:
    if connection and connection.transport:
        connection.transport.abort()
