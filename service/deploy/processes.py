"""`lineage serve --processes N`: N front ends on one port, which share the engines of one more process.

The parent binds the port, starts the others, starts those again that die, and adds up their metrics.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Final

from model_zoo.runtime.base import OpenEngine
from model_zoo.runtime.open import open_engine
from service.deploy.front_end import COLLECT, SCRAPE, run_front_end
from service.deploy.uvicorn import listen, run_server
from service.engine_host.host import EngineHost
from service.settings import Settings, unknown_variables
from service.telemetry.logs import configure_logging
from service.telemetry.merged import Family, merge, totals

MAX_DEATHS: Final = 5
DEATH_SECONDS: Final = 60.0
SCRAPE_SECONDS: Final = 1.0
HOST: Final = "engine host"
SPAWN: Final = multiprocessing.get_context("spawn")
LOG = logging.getLogger(__name__)


def run_engine_host(settings: Settings, open_engine: OpenEngine, listening: socket.socket, parent: Connection) -> None:
    """Run engines until the parent ends this process, or ends itself."""
    os.setsid()
    configure_logging(settings.log_level, settings.log_format)
    watch = partial(_end_with, parent, Path(listening.getsockname()).parent)
    threading.Thread(target=watch, name="parent", daemon=True).start()
    asyncio.run(EngineHost(open_engine, settings.max_delay_ms / 1000).serve(listening))


def _end_with(parent: Connection, folder: Path) -> None:
    """End this process if the parent was killed, which could not remove its folder."""
    try:
        parent.recv_bytes()
    except (EOFError, OSError):
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)


@dataclass(eq=False)
class _Child:
    """A process and what the parent knows about it."""

    name: str
    process: SpawnProcess
    pipe: Connection
    metrics: list[Family] = field(default_factory=list)


class Supervisor:
    """Keeps the processes running until a signal."""

    def __init__(
        self,
        settings: Settings,
        open_engine: OpenEngine,
        listening: socket.socket,
        signals: socket.socket,
        folder: Path,
    ) -> None:
        """Serve on a socket, until the number of a signal arrives on another one."""
        self._listening, self._host_socket = listening, socket.socket(socket.AF_UNIX)
        address = str(folder / "engines.sock")
        self._host_socket.bind(address)
        self._host_socket.listen(socket.SOMAXCONN)  # connections wait here while the host is started again
        decoders = max(1, settings.decoders // settings.processes)
        own = settings.model_copy(update={"decoders": decoders})
        front_end = partial(run_front_end, own, listening, address)
        host = partial(run_engine_host, settings, open_engine, self._host_socket)
        self._targets: dict[str, Callable[[Connection], None]] = {HOST: host}
        self._targets |= {f"front end {number}": front_end for number in range(1, settings.processes + 1)}
        self._children: dict[str, _Child] = {}
        self._deaths: deque[float] = deque(maxlen=MAX_DEATHS)
        self._ended: list[Family] = []
        self._asking: set[str] = set()
        self._awaited: set[str] = set()
        self._scrape_ends = 0.0
        self._stopping, self._failed = False, False
        self._signals = signals

    def run(self) -> bool:
        """Return True once all accepted requests are answered after a signal, False if processes keep dying."""
        for name in self._targets:
            self._start(name)
        while self._children.keys() - {HOST}:
            self._step()
        self._end_host()
        return not self._failed

    def _start(self, name: str) -> None:
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=self._targets[name], args=(theirs,), name=name)
        process.start()
        theirs.close()
        self._children[name] = _Child(name, process, ours)
        LOG.info("started the %s: process %d", name, process.pid)

    def _pass_on(self, number: int) -> None:
        """Pass a signal on to the front ends, which drain."""
        self._stopping = True
        self._listening.close()
        for child in self._children.values():
            if child.name != HOST and child.process.pid and child.process.exitcode is None:
                os.kill(child.process.pid, number)

    def _step(self) -> None:
        """Wait for a message or the end of a process, and act on it."""
        children = list(self._children.values())
        sources = {child.process.sentinel: child for child in children}
        pipes = {child.pipe: child for child in children if not child.pipe.closed}
        ready = wait([self._signals, *sources, *pipes], SCRAPE_SECONDS if self._awaited else None)
        if self._signals in ready:
            for number in self._signals.recv(64):
                self._pass_on(number)
        for source in ready:
            if isinstance(source, Connection):
                self._receive(pipes[source])
        for source in ready:
            if isinstance(source, int):
                self._bury(sources[source])
        if self._awaited and time.monotonic() >= self._scrape_ends:
            self._awaited.clear()
        if self._asking and not self._awaited:
            self._answer_scrape()

    def _receive(self, child: _Child) -> None:
        try:
            message = child.pipe.recv_bytes()
        except (EOFError, OSError):
            child.pipe.close()
            return
        if message != SCRAPE:
            child.metrics = json.loads(message)
            self._awaited.discard(child.name)
            return
        if not self._asking:
            self._scrape_ends = time.monotonic() + SCRAPE_SECONDS
            self._awaited = {other.name for other in self._children.values() if self._send(other, COLLECT)}
        self._asking.add(child.name)

    def _send(self, child: _Child, message: bytes) -> bool:
        if child.name == HOST or child.pipe.closed:
            return False
        try:
            child.pipe.send_bytes(message)
        except OSError:
            return False
        return True

    def _answer_scrape(self) -> None:
        merged = json.dumps(merge([self._ended, *(child.metrics for child in self._children.values())])).encode()
        for name in self._asking & self._children.keys():
            self._send(self._children[name], merged)
        self._asking.clear()

    def _bury(self, child: _Child) -> None:
        """Start a process again that has ended by itself."""
        child.process.join()
        child.pipe.close()
        del self._children[child.name]
        self._asking.discard(child.name)
        self._awaited.discard(child.name)
        self._ended = merge([self._ended, totals(child.metrics)])
        if self._stopping:
            return
        now = time.monotonic()
        self._deaths.append(now)
        LOG.error("the %s ended (exit code %s)", child.name, child.process.exitcode)
        if len(self._deaths) == MAX_DEATHS and now - self._deaths[0] < DEATH_SECONDS:
            LOG.error("%d processes ended within %g s: the server stops", MAX_DEATHS, DEATH_SECONDS)
            self._failed = True
            self._pass_on(signal.SIGTERM)
            return
        LOG.warning("the %s is started again", child.name)
        self._start(child.name)

    def _end_host(self) -> None:
        self._host_socket.close()
        for child in self._children.values():
            child.process.terminate()
            child.process.join()


def _ignore(_: int, __: FrameType | None) -> None:
    """Do nothing: the signal is a message, too."""


def run_processes(settings: Settings, open_engine: OpenEngine = open_engine) -> None:
    """Serve in as many processes as the settings say until SIGTERM or SIGINT, then answer the accepted requests.

    Raises:
        OSError: the address cannot be bound.
        SystemExit: processes kept dying.
    """
    if settings.processes == 1:
        run_server(settings, open_engine)
        return
    configure_logging(settings.log_level, settings.log_format)
    for warning in unknown_variables(os.environ):
        LOG.warning("%s", warning)
    signals, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno())  # signals become messages, between two steps
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)
    with tempfile.TemporaryDirectory(prefix="lineage-") as folder:  # nobody else may enter it
        if not Supervisor(settings, open_engine, listen(settings), signals, Path(folder)).run():
            raise SystemExit(1)
    LOG.info("all processes have ended")
