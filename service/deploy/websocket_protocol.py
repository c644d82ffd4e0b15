"""uvicorn's WebSocket protocol with limits on memory, on silence, and on frames that carry no message."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame

from service.api.native.live import PATH
from service.deploy.connections import Connections
from service.deploy.transport import LingeringTransport, has_unread
from service.inference.errors import MemoryFull
from service.inference.memory import Reservation
from service.telemetry.logs import OncePerSecond

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
    from websockets.http11 import Request

Headers = Sequence[tuple[bytes, bytes]]
LOG: Final = logging.getLogger(__name__)
LOG.setLevel(logging.WARNING)  # uvicorn's lines about handshakes repeat those of the access log
LOG.addFilter(OncePerSecond())
MAX_FRAMES: Final = 4096
CLOSE_SECONDS: Final = 5.0
# What the parser of the handshake accepts.
MAX_HEADERS: Final = 100
MAX_HEADER: Final = 8000
_FRAMING: Final = (b"content-length", b"transfer-encoding")


def is_handshake(method: str, target: bytes, headers: Headers) -> bool:
    """Return whether a request opens a WebSocket (RFC 6455, section 4.2.1) at an address that has one."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return (
        method == "GET"
        and target.partition(b"?")[0] == PATH.encode()
        and [value.lower() for value in values.get(b"upgrade", [])] == [b"websocket"]
        and values.get(b"sec-websocket-version") == [b"13"]
        and _is_key(values.get(b"sec-websocket-key", []))
        and not any(name in values for name in _FRAMING)
        and len(target) <= MAX_HEADER
        and len(headers) <= MAX_HEADERS
        and all(len(name) + len(value) <= MAX_HEADER for name, value in headers)
    )


def _is_key(values: Sequence[bytes]) -> bool:
    """Return whether the one value is a nonce of 16 bytes."""
    try:
        return len(values) == 1 and len(base64.b64decode(values[0], validate=True)) == 16
    except binascii.Error:
        return False


def upgrade(protocol: LiveProtocol, transport: asyncio.Transport, target: bytes, headers: Headers) -> None:
    """Continue a connection of HTTP as a WebSocket, after the head of its handshake."""
    lines = [b"%b: %b\r\n" % header for header in headers]
    protocol.connection_made(transport)
    transport.set_protocol(protocol)
    protocol.data_received(b"".join([b"GET ", target, b" HTTP/1.1\r\n", *lines, b"\r\n"]))


class _ClosingTransport(LingeringTransport):
    """Closes after the client could read the reason, within a time limit."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport, transport.can_write_eof)  # TLS waits for the client itself

    def close(self) -> None:
        """End the sending side, and the connection after CLOSE_SECONDS."""
        if not self.is_closing():
            super().close()
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self.inner.abort)


class LiveProtocol(WebSocketsSansIOProtocol):
    """Closes connections that hold too much memory, stay silent, or send frames without a message.

    Nothing is read while the client does not read, so pongs cannot pile up.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        connections: Connections,
        idle_seconds: float,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.logger = LOG
        self._open, self._idle_seconds = connections, idle_seconds
        self._memory = Reservation(app_state["service"].memory)
        self._last_message = self.loop.time()
        self._idle = self.loop.call_later(idle_seconds, self._check_idle)
        self._frames = 0  # since the last message

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, which takes the place of its handshake."""
        super().connection_made(cast(asyncio.Transport, _ClosingTransport(cast(asyncio.Transport, transport))))
        self._memory.client = self.client[0] if self.client else ""
        self._open.add(self)
        self._open.set_waiting(self, True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        super().connection_lost(exc)
        self._open.discard(self)
        self._idle.cancel()
        self._memory.resize(0)

    def data_received(self, data: bytes) -> None:
        """Process bytes from the client, or discard them if the connection is closing."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        try:
            self._memory.resize(len(self.conn.reader.buffer) + sum(map(len, self.frames)))
        except MemoryFull as error:
            self._fail(CloseCode.TRY_AGAIN_LATER, str(error))

    def handle_connect(self, event: Request) -> None:
        """Start the application. Nothing is read until it accepts."""
        self.read_paused = True
        self.transport.pause_reading()
        super().handle_connect(event)

    def handle_cont(self, event: Frame) -> None:
        """Add a part of a message."""
        self._count()
        super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer a ping."""
        self._count()
        super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """Note that the client is there."""
        self._count()
        super().handle_pong(event)

    def send_receive_event_to_app(self) -> None:
        """Pass a message on."""
        self._frames, self._last_message = 0, self.loop.time()
        self._open.set_waiting(self, True)  # as the last one
        if self.curr_msg_data_type == "text" and not _is_utf8(b"".join(self.frames)):
            self._fail(CloseCode.INVALID_DATA, "expected text in UTF-8")
        else:
            super().send_receive_event_to_app()

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next event."""
        event = await super().receive()
        if not self.writable.is_set():
            self.transport.pause_reading()
        return event

    async def send(self, message: ASGISendEvent) -> None:
        """Send an event of the application."""
        await super().send(message)
        self.handshake_complete |= self.close_sent  # also by a refusal, which uvicorn would log as an error

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Continue."""
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close the connection without sending what is buffered."""
        self.transport.abort()

    def has_unread(self) -> bool:
        """Return whether bytes have arrived that the event loop has not read yet."""
        return has_unread(self.transport)

    def _count(self) -> None:
        """Count a frame that completes no message."""
        self._frames += 1
        if self._frames > MAX_FRAMES:
            self._fail(CloseCode.POLICY_VIOLATION, f"expected a message within {MAX_FRAMES:,} frames")

    def _check_idle(self) -> None:
        """Close the connection if no message has arrived for too long, or look again when that may be so."""
        due = self._last_message + self._idle_seconds
        if self.loop.time() >= due:
            self._fail(CloseCode.NORMAL_CLOSURE, f"no message for {self._idle_seconds:g} s")
        else:
            self._idle = self.loop.call_at(due, self._check_idle)

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Close the connection with a reason for the client."""
        if not self.close_sent and not self.transport.is_closing():
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
            self.conn.fail(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.stop_keepalive()
            self.transport.close()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
