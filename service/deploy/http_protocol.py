"""uvicorn's HTTP/1.1 protocol with time limits in every phase, and problem+json for malformed requests.

llhttp parses requests. It is strict by default: `strict_http` has the few checks that it leaves to servers.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, cast
from urllib.parse import unquote

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.api.errors import BadRequest, HeadTooSlow, RequestError, TooManyConnections
from service.api.problems import problem, respond, slug
from service.api.protocols import every_error_member
from service.deploy.connections import Connections
from service.deploy.http_cycle import Cycle
from service.deploy.strict_http import check_head, check_head_size, check_line, malformed
from service.deploy.transport import LingeringTransport, has_unread
from service.deploy.websocket_protocol import LiveProtocol, is_handshake, upgrade
from service.middleware.security_headers import HEADERS
from service.telemetry.logs import OncePerSecond

LOG: Final = logging.getLogger(__name__)
LOG.addFilter(OncePerSecond())
MAX_PIPELINED: Final = 16
_TLS_HANDSHAKE: Final = b"\x16\x03"
_FRAMING: Final = (b"content-length", b"transfer-encoding")
_HTTP_2: Final = b"PRI * HTTP/2.0\r\n"


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


class Part(Enum):
    """Part of a request that the parser expects next."""

    LINE = auto()
    """A request line."""
    HEAD = auto()
    """The rest of a head."""
    BODY = auto()
    """The rest of a body."""


class ProblemProtocol(HttpToolsProtocol):
    """Limits each phase of a connection, and answers malformed HTTP as the application answers a bad request."""

    def __init__(self, *args: Any, connections: Connections, limits: TimeLimits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = HttpRequestParser(self)  # without the leniency that uvicorn sets
        self._open, self._limits = connections, limits
        self._phase: Phase | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._part, self._line = Part.LINE, b""
        self._unreported = 0  # bytes of a head, of trailers or of a chunk extension, which the parser may keep
        self._active: RequestResponseCycle | None = None  # `cycle` is the newest one
        self._malformed: RequestError | None = None  # to be sent after the answers before it
        self._half_closed = self._refused = False
        self._is_handshake = False  # of a WebSocket

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Accept the connection, or refuse it with 503 if there are too many."""
        super().connection_made(cast(asyncio.Transport, LingeringTransport(transport, self._is_receiving)))
        if not self._open.add(self):
            self.refuse(TooManyConnections("too many open connections; try again later"))
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self._open.discard(self)
        self._cancel_timer()
        self._disconnect()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process bytes from the client, or discard them after the response if the connection is closing."""
        if self._malformed or self.transport.is_closing():
            return
        try:
            self._parse(data)
        except RequestError as error:
            self._refuse_in_turn(error)
        if self._part is Part.BODY and cast(Cycle, self.cycle).buffered > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        if not self._is_handshake:
            self._follow()

    def _parse(self, data: bytes) -> None:
        """Pass bytes to the parser.

        Raises:
            RequestError: they are malformed.
        """
        if self._part is Part.LINE and not (data := self._checked_line(data)):
            return
        self._unreported += len(data)
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offer:
            rest = data[offer.args[0] :]
            if self._is_handshake:
                self._accept_upgrade(rest)
                return
            self._decline_upgrade()
            self._parse(rest)
        except HttpParserCallbackError as error:
            raise (error.__context__ or error) from None
        except HttpParserError as error:
            raise malformed(str(error)) from None
        check_head_size(self._unreported)

    def _accept_upgrade(self, rest: bytes) -> None:
        """Leave the connection to a WebSocket. Clients send nothing to it before it is open."""
        if rest:
            raise malformed("expected nothing after a WebSocket handshake until it is answered")
        self._cancel_timer()
        self._open.discard(self)
        self.connections.discard(self)
        live = LiveProtocol(self.config, self.server_state, self.app_state, self._open, self._limits.keep_alive)
        upgrade(live, cast(LingeringTransport, self.transport).inner, self.url, self.headers)

    def _decline_upgrade(self) -> None:
        """Continue after a head that offers another protocol, with a parser that has not seen the offer."""
        framing = [b"%b: %b\r\n" % header for header in self.headers if header[0] in _FRAMING]
        self.parser = HttpRequestParser(self)
        self.parser.feed_data(b"".join([b"POST / HTTP/1.1\r\n", *framing, b"\r\n"]))

    def _checked_line(self, data: bytes) -> bytes:
        """Return what has arrived of a request once its line is complete, and nothing before."""
        data = (self._line + data).lstrip(b"\r\n")  # empty lines before a request are ignored (section 2.2)
        if data.startswith(_TLS_HANDSHAKE):
            raise malformed("TLS (https://): this server speaks plain http://")
        if data.startswith(_HTTP_2):
            raise malformed("HTTP/2.0 (gRPC has a port of its own): this server speaks HTTP/1.1")
        end = data.find(b"\n") + 1
        self._line = b"" if end else data
        check_head_size(len(self._line))
        line = data[:end]
        if not line or (checked := check_line(line)) is line:
            return data if end else b""
        return checked + data[end:]

    def on_message_begin(self) -> None:
        """Begin with the head of a request."""
        if self._part is Part.BODY:  # the offer of another protocol was declined
            return
        if len(self.pipeline) == MAX_PIPELINED:
            raise BadRequest(f"expected at most {MAX_PIPELINED} requests that wait for the answer to another")
        super().on_message_begin()
        self._part = Part.HEAD

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header. Trailers are dropped."""
        if self._part is Part.HEAD:
            super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """Check the head of a request, and answer it after those before it."""
        if self._part is Part.BODY:
            return
        version = self.parser.get_http_version()
        check_head(version, self.url, self.headers)
        method = self.parser.get_method().decode()
        if self.parser.should_upgrade() and not self._is_answering() and is_handshake(method, self.url, self.headers):
            self._is_handshake = True
            return
        self._part, self._unreported = Part.BODY, 0
        raw_path, _, query = self.url.partition(b"?")
        target = {"path": unquote(raw_path.decode("ascii")), "raw_path": raw_path, "query_string": query}
        self.scope.update({"http_version": version, "method": method, **target})  # type: ignore[typeddict-item]  # no TypedDict
        self.cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version == "1.1" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if self._is_answering():
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._active = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Pass on a part of the body, or discard it after the response."""
        self._unreported = 0
        if not self.cycle.response_complete:
            cast(Cycle, self.cycle).add(body)

    def on_message_complete(self) -> None:
        """Continue with the line of the next request. llhttp expects no body after the offer of another protocol."""
        if self.parser.should_upgrade():
            return
        self._part, self._unreported = Part.LINE, 0
        super().on_message_complete()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # uvicorn returns None
        """Keep a connection open whose client has sent a whole request and waits for the response."""
        self._half_closed = True
        is_complete = self.cycle.response_complete if self._part is Part.BODY else not self._has_begun()
        if not is_complete and not self.transport.is_closing():
            self._refuse_in_turn(BadRequest("expected a complete request; got the end of the stream within it"))
        if self._is_answering() and not self._refused:
            return self.transport.can_write_eof()  # False with TLS: asyncio cannot close one side of it
        self.transport.close()
        self._follow()
        return None

    def on_response_complete(self) -> None:
        """Continue with the next request, unless the client has closed its sending side."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            elif self._malformed:
                self.refuse(self._malformed)
            elif self._half_closed:
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
        return has_unread(self.transport)

    def _refuse_in_turn(self, error: RequestError) -> None:
        """Refuse a malformed request, after the answers to those before it."""
        fault = str(error).removeprefix("malformed HTTP: ").partition(": ")[0]  # the rest may be a key
        LOG.warning("malformed HTTP from %s: %s", self.client, fault)
        is_own = self._part is Part.BODY and self.cycle is self._active
        if self._part is Part.BODY and self.pipeline:
            self.pipeline.popleft()  # the request has begun, but nobody has answered it
        if self._is_answering() and not is_own:
            self._malformed = error
        else:
            self.refuse(error)

    def _should_upgrade(self) -> bool:
        return False  # decided in `on_headers_complete`; clients that offer h2c get HTTP/1.1

    def refuse(self, error: RequestError) -> None:
        """Send a problem, unless a response has already started, and close the connection."""
        response = respond(error, every_error_member(str(error)))  # the address may not have been read
        self._open.metrics.refusals.labels(slug(problem(error).title)).inc()
        if not (self._is_answering() and cast(Cycle, self._active).response_started):
            headers = [*response.raw_headers, *HEADERS, (b"connection", b"close")]
            lines = [b"%b: %b\r\n" % header for header in headers]
            self.transport.write(b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", response.body]))
        self._disconnect()
        self._refused = True
        self.transport.close()
        self._follow()

    def _disconnect(self) -> None:
        """End the request that is being answered."""
        if self._active and not self._active.response_complete:
            self._active.disconnected = True
            self._active.message_event.set()

    def _is_answering(self) -> bool:
        return self._active is not None and not self._active.response_complete

    def _has_begun(self) -> bool:
        """Return whether a head has arrived in part."""
        return self._part is Part.HEAD or bool(self._line)

    def _is_receiving(self) -> bool:
        return self._refused or self._part is Part.BODY

    def _current_phase(self) -> Phase:
        if self.transport.is_closing():
            return Phase.CLOSE
        if self.flow.write_paused:
            return Phase.WRITE
        if self._is_answering():
            return Phase.REQUEST
        if self._part is Part.BODY:
            return Phase.DRAIN
        return Phase.HEAD if self._active is None or self._has_begun() else Phase.KEEP_ALIVE

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
        if self._phase is Phase.HEAD and self._has_begun():
            self.refuse(HeadTooSlow(f"expected the whole head of a request within {self._limits.header:g} s"))
        elif self._phase in (Phase.HEAD, Phase.KEEP_ALIVE):
            self.transport.close()
            self._follow()
        elif self.transport.get_write_buffer_size() < self._unsent:
            self._start_timer()
        else:
            self._open.metrics.connections_closed.labels("stalled").inc()
            self.transport.abort()
