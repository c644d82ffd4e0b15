"""Frigate over ZeroMQ: one socket for many clients, each with one request at a time.

Frigate waits 0.2 s by default, then connects again, so requests of closed connections are canceled. Without the extra
`zmq` this module still imports.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from service.access.rate_limit import client_network
from service.api.frigate.detector import FrigateDetector
from service.settings import Settings, is_local
from service.state import AppState

if TYPE_CHECKING:
    import zmq
    import zmq.asyncio

LOG: Final = logging.getLogger(__name__)
_WAITING_PER_CLIENT: Final = 4
_LINGER_MS: Final = 1000


class ZmqServer:
    """Answers requests on one endpoint."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._free = asyncio.Semaphore(settings.queue_size)
        self._serving: dict[asyncio.Task[None], int] = {}  # with the descriptors of their connections
        self._reading: list[asyncio.Task[None]] = []
        self.endpoint = str(settings.zmq)
        """Endpoint, with the port that was chosen."""

    async def start(self, state: AppState) -> None:
        """Bind the endpoint and accept requests.

        Raises:
            OSError: the endpoint cannot be bound.
        """
        import zmq
        import zmq.asyncio

        self._detector = FrigateDetector(state)
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.MAXMSGSIZE, self._settings.max_body)
        self._socket.setsockopt(zmq.RCVHWM, _WAITING_PER_CLIENT)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        self._socket.setsockopt(zmq.IPV6, int("[" in self.endpoint))
        try:
            self._socket.bind(self.endpoint)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            reason = f"{os.strerror(error.errno or 0)}; choose another --zmq"
            raise OSError(error.errno, reason, self.endpoint) from error
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._disconnects: zmq.Socket[bytes] = zmq.Socket.shadow(self._monitor.underlying)  # read without waiting
        self.endpoint = self._socket.get_string(zmq.LAST_ENDPOINT)
        LOG.info("listening on %s for Frigate", self.endpoint)
        if not is_local(self.endpoint):
            LOG.warning("everybody who can reach %s can send requests: ZeroMQ has no API keys", self.endpoint)
        self._reading = [asyncio.create_task(self._receive()), asyncio.create_task(self._watch())]

    async def stop(self) -> None:
        """Answer the accepted requests and close the socket."""
        reading, self._reading = self._reading, []
        if not reading:
            return
        for task in reading:
            task.cancel()
        try:
            await asyncio.gather(*reading, *self._serving, return_exceptions=True)
        finally:  # a second interrupt waits for nothing
            self._monitor.close()
            self._socket.close(linger=_LINGER_MS)
            await asyncio.to_thread(self._context.term)  # waits until the answers have left

    async def _receive(self) -> None:
        import zmq

        while True:
            await self._free.acquire()
            frames = await self._socket.recv_multipart(copy=False)
            self._cancel_disconnected()
            task = asyncio.create_task(self._serve(frames))
            self._serving[task] = int(frames[0].get(zmq.SRCFD))
            task.add_done_callback(self._finish)

    async def _watch(self) -> None:
        while True:
            await self._monitor.poll()
            self._cancel_disconnected()

    def _cancel_disconnected(self) -> None:
        """Cancel the requests of closed connections, before a new connection uses their descriptors."""
        from zmq.utils.monitor import parse_monitor_message

        while self._disconnects.poll(0):
            closed = parse_monitor_message(self._disconnects.recv_multipart())["value"]
            for task, connection in self._serving.items():
                if connection == closed:
                    task.cancel()

    def _finish(self, task: asyncio.Task[None]) -> None:
        del self._serving[task]
        self._free.release()

    async def _serve(self, frames: Sequence[zmq.Frame]) -> None:
        """Answer one request. Its first frame is the client, followed by an empty one from a REQ socket."""
        body = 2 if len(frames) > 1 and not len(frames[1]) else 1
        answer = await self._detector.answer([frame.buffer for frame in frames[body:]], _client(frames[0]))
        await self._socket.send_multipart([*frames[:body], answer])


def _client(frame: zmq.Frame) -> str:
    """Return the address of a client, empty if it has none, as with ipc."""
    import zmq

    try:
        return client_network(str(frame.get("Peer-Address")))
    except zmq.ZMQError:
        return ""
