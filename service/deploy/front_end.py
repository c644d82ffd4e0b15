"""A front end: the usual server in a process of its own, whose engines run in the engine host."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
from multiprocessing.connection import Connection

from service.deploy.uvicorn import create_server, serve, stop_at_signals
from service.engine_host.client import RemoteEngines
from service.settings import Settings
from service.state import AppState
from service.telemetry.logs import configure_logging
from service.telemetry.merged import Merged, snapshot

SCRAPE = b"scrape"
COLLECT = b"collect"


def run_front_end(settings: Settings, listening: socket.socket, address: str, parent: Connection) -> None:
    """Serve until SIGTERM or SIGINT, or until the parent ends."""
    os.setsid()  # the parent passes on the interrupts of a terminal
    handler = configure_logging(settings.log_level, settings.log_format)
    link = ParentLink(parent)
    server = create_server(settings, RemoteEngines(address), [link])
    stop_at_signals(server)
    serve(server, handler, listening)


class ParentLink:
    """Link to the parent, which gets the metrics of this process and returns those of all."""

    def __init__(self, parent: Connection) -> None:
        self._parent = parent
        self._sending = threading.Lock()
        self._scraping: asyncio.Future[Merged] | None = None

    async def start(self, state: AppState) -> None:
        """Answer the parent from now on."""
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._parent.fileno(), self._read)
        state.metrics.scrape = self.scrape

    async def stop(self) -> None:
        """Do nothing: metrics are read until the end."""

    async def scrape(self) -> Merged:
        """Return the metrics of all processes. Scrapes at the same time share one answer."""
        if self._scraping is None:
            self._scraping = self._loop.create_future()
            self._send(SCRAPE)
        return await asyncio.shield(self._scraping)

    def _read(self) -> None:
        try:
            message = self._parent.recv_bytes()
        except (EOFError, OSError):
            self._loop.remove_reader(self._parent.fileno())
            signal.raise_signal(signal.SIGTERM)
            return
        if message == COLLECT:
            self._send(json.dumps(snapshot(self._state.metrics.registry)).encode())
        elif self._scraping:
            scraping, self._scraping = self._scraping, None
            scraping.set_result(Merged(json.loads(message)))

    def _send(self, message: bytes) -> None:
        """Send in a thread: the parent may be sending, too, and must not wait for this process."""
        self._loop.run_in_executor(None, self._send_now, message)

    def _send_now(self, message: bytes) -> None:
        with self._sending:
            self._parent.send_bytes(message)
