"""uvicorn's HTTP/1.1 protocol with time limits in every phase, and problem+json for malformed requests."""

from __future__ import annotations

import asyncio
import logging
import select
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import quote

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.api.errors import BadRequest, HeadTooLarge, HeadTooSlow, RequestError, TooManyConnections
from service.api.problems import problem, respond, slug
from service.api.protocols import every_error_member
from service.deploy.connections import Connections
from service.deploy.strict_http import StrictConnection
from service.deploy.transport import LingeringTransport
from service.middleware.security_headers import HEADERS
from service.telemetry.logs import OncePerSecond

LOG: Final = logging.getLogger(__name__)
LOG.addFilter(OncePerSecond())
_TLS_HANDSHAKE: Final = b"\x16\x03"
_ASCII: Final = "".join(map(chr, range(128)))


@dataclass(frozen=True)
class TimeLimits:
    """Seconds that a connection may spend in a phase."""

    header: float
    """Until the whole head of a request has arrived."""
    keep_alive: float
    """Between two requests."""
    stall: float
    """Until a client has read more of a response, or has sent the rest of a body after the response."""


class Phase(Enum):
    """State of a connection, by the event that ends it."""

    HEAD = auto()
    """The first request, or the rest of a head."""
    KEEP_ALIVE = auto()
    """The next request."""
    REQUEST = auto()
    """The application, which has its own deadline."""
    DRAIN = auto()
    """The rest of a body that was answered before it arrived."""
    WRITE = auto()
    """The client, which reads more slowly than the application writes."""
    CLOSE = auto()
    """The end of the connection."""


class ProblemProtocol(H11Protocol):
    """Limits each phase of a connection, and answers malformed HTTP as the application answers a bad request."""

    def __init__(self, *args: Any, connections: Connections, limits: TimeLimits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn: StrictConnection = StrictConnection()
        self._open, self._limits = connections, limits
        self._phase: Phase | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._half_closed = self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or refuse it with 503 if there are too many."""
        super().connection_made(cast(asyncio.Transport, LingeringTransport(transport, self._is_receiving)))
        if not self._open.add(self):
            self.refuse(TooManyConnections("too many open connections; try again later"))
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self._open.discard(self)
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process bytes from the client, or discard them after the response if the connection is closing."""
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            # empty lines before a request are ignored (RFC 9112, section 2.2)
            data = _encode_target(data.lstrip(b"\r\n"))
        if data and not self.transport.is_closing():
            super().data_received(data)
            self._follow()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep a connection open whose client has sent a whole request and waits for the response."""
        self._half_closed = True
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and not self.cycle.more_body:
            return self.transport.can_write_eof()  # False with TLS: asyncio cannot close one side of it
        if answering or (self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]):
            self.refuse(BadRequest("expected a complete request; got the end of the stream within it"))
        self.transport.close()
        self._follow()
        return None

    def on_response_complete(self) -> None:
        """Continue with the next request, unless the client has closed its sending side."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # `_follow` sets the timer
        if self._half_closed and self.cycle.response_complete:
            self.transport.close()
        self._follow()

    def pause_writing(self) -> None:
        """Start to measure whether the client reads at all."""
        super().pause_writing()
        self._follow()

    def resume_writing(self) -> None:
        """Stop measuring."""
        super().resume_writing()
        self._follow()

    def shutdown(self) -> None:
        """Finish the current request, and do not wait for a client that only has to close."""
        if not self.transport.is_closing():
            super().shutdown()
            self._follow()
        elif not self.transport.get_write_buffer_size():
            self.transport.abort()

    def abort(self) -> None:
        """Close the connection without sending what is buffered."""
        self.transport.abort()

    def has_unread(self) -> bool:
        """Return whether bytes have arrived that the event loop has not read yet."""
        if self.transport.is_closing():
            return False
        arrived = select.poll()
        arrived.register(self.transport.get_extra_info("socket"), select.POLLIN)
        return bool(arrived.poll(0))

    def send_400_response(self, msg: str) -> None:
        """Answer malformed HTTP with a problem that has the reason."""
        is_tls = self.conn.trailing_data[0].startswith(_TLS_HANDSHAKE)
        fault = "TLS (https://): this server speaks plain http://" if is_tls else self.conn.fault
        LOG.warning("malformed HTTP from %s: %s", self.client, fault.partition(": ")[0])  # the rest may be a key
        self.refuse(HeadTooLarge(fault) if self.conn.is_too_large else BadRequest(f"malformed HTTP: {fault or msg}"))

    def _should_upgrade(self) -> bool:
        return False  # there is no other protocol; clients that offer h2c or WebSocket get HTTP/1.1

    def refuse(self, error: RequestError) -> None:
        """Send a problem, unless a response has already started, and close the connection."""
        response = respond(error, every_error_member(str(error)))  # the address may not have been read
        self._open.metrics.refusals.labels(slug(problem(error).title)).inc()
        headers = [*response.raw_headers, *HEADERS, (b"connection", b"close")]
        reason = HTTPStatus(response.status_code).phrase.encode()
        head = h11.Response(status_code=response.status_code, headers=headers, reason=reason)
        with suppress(h11.LocalProtocolError):
            for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._refused = True
        self.transport.close()
        self._follow()

    def _is_receiving(self) -> bool:
        return self._refused or self.conn.their_state is h11.SEND_BODY

    def _current_phase(self) -> Phase:
        if self.transport.is_closing():
            return Phase.CLOSE
        if self.flow.write_paused:
            return Phase.WRITE
        if self.cycle is not None and not self.cycle.response_complete:
            return Phase.REQUEST
        if self.conn.their_state is not h11.IDLE:
            return Phase.DRAIN
        return Phase.HEAD if self.cycle is None or self.conn.trailing_data[0] else Phase.KEEP_ALIVE

    def _follow(self) -> None:
        """Set the time limit of a new phase."""
        phase = self._current_phase()
        if phase is not self._phase:
            self._phase = phase
            self._open.set_waiting(self, phase in (Phase.HEAD, Phase.KEEP_ALIVE, Phase.CLOSE))
            self._start_timer()

    def _start_timer(self) -> None:
        self._cancel_timer()
        self._unsent = self.transport.get_write_buffer_size()
        limits = {Phase.HEAD: self._limits.header, Phase.KEEP_ALIVE: self._limits.keep_alive, Phase.REQUEST: None}
        seconds = limits.get(cast(Phase, self._phase), self._limits.stall)
        if seconds is not None:
            self._timer = self.loop.call_later(seconds, self._expire)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        """End a phase that takes too long. Writing may go on as long as the client reads."""
        if self._phase is Phase.HEAD and self.conn.trailing_data[0]:
            self.refuse(HeadTooSlow(f"expected the whole head of a request within {self._limits.header:g} s"))
        elif self._phase in (Phase.HEAD, Phase.KEEP_ALIVE):
            self.transport.close()
            self._follow()
        elif self.transport.get_write_buffer_size() < self._unsent:
            self._start_timer()
        else:
            self._open.metrics.connections_closed.labels("stalled").inc()
            self.transport.abort()


def _encode_target(data: bytes) -> bytes:
    """Percent-encode UTF-8 beyond ASCII in a request line. curl sends it as it was typed."""
    end = data.find(b"\n")
    line = data[:end] if end >= 0 else data
    if line.isascii():
        return data
    with suppress(UnicodeDecodeError):
        return quote(line.decode(), safe=_ASCII).encode() + data[len(line) :]
    return data
