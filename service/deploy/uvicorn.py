"""Run the application under uvicorn."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from types import FrameType
from typing import Any, Final, cast

import uvicorn

from model_zoo.runtime.base import OpenEngine
from model_zoo.runtime.open import open_engine
from service.app import create_app
from service.deploy.connections import Connections
from service.deploy.descriptors import max_connections, raise_descriptor_limit
from service.deploy.http_protocol import ProblemProtocol, TimeLimits
from service.deploy.listeners import Listener, make_listeners
from service.deploy.tls import Certificate, TLSConnection
from service.inference.bundled import DEFAULT_REPOSITORY
from service.settings import Settings, unknown_variables
from service.state import Shutdown
from service.telemetry.log_thread import write_in_background
from service.telemetry.logs import OncePerSecond, configure_logging

LOG = logging.getLogger(__name__)
ACCEPT_LOG = logging.getLogger(f"{__name__}.accept")
ACCEPT_LOG.addFilter(OncePerSecond())
BACKLOG: Final = 2048
# asyncio accepts as many connections at once, before the protocol can close others.
ACCEPTED_AT_ONCE: Final = 16
OUT_OF_RESOURCES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Server(uvicorn.Server):
    """uvicorn's server, which drains at SIGTERM and has a long backlog and short log lines when descriptors run out."""

    def __init__(
        self,
        config: uvicorn.Config,
        drain_seconds: float = 0.0,
        certificate: Certificate | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        super().__init__(config)
        self._listeners = listeners
        self._certificate = certificate
        self._watching: asyncio.Task[None] | None = None
        self._drain_seconds = drain_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Announce the end at the first SIGTERM. Other signals, and a second one, stop the server."""
        shutdown = self._shutdown
        if sig == signal.SIGTERM and self._drain_seconds and shutdown and shutdown.at is None:
            shutdown.announce(self._drain_seconds)
            for headers in (self.config.encoded_headers, self.server_state.default_headers):
                headers.append((b"connection", b"close"))  # clients come back to another server
            LOG.info("not ready any more: stopping in %g s, requests are still answered", self._drain_seconds)
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Return True if the server must stop. uvicorn calls it ten times a second."""
        return await super().on_tick(counter) or bool(self._shutdown and self._shutdown.is_due)

    @property
    def _shutdown(self) -> Shutdown | None:
        """Return the announcement of the application, or None before it has started."""
        return self.lifespan.state["service"].shutdown if self.started else None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer the accepted requests, or cancel them at the second interrupt."""
        if self._watching:
            self._watching.cancel()
        await super().shutdown(sockets)
        if self.force_exit:
            unanswered = len(self.server_state.tasks)
            LOG.warning("stopped by a second interrupt, accepted requests without an answer: %d", unanswered)
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a traceback of everything that is cancelled

    async def _wait_tasks_to_complete(self) -> None:
        """Wait until all endpoints have answered, or for the second interrupt."""
        stopping = [asyncio.create_task(listener.stop()) for listener in self._listeners]
        try:
            await asyncio.sleep(0)  # they begin before they can be cancelled
            await super()._wait_tasks_to_complete()
            while not (all(task.done() for task in stopping) or self.force_exit):
                await asyncio.sleep(0.1)
        finally:
            for task in stopping:
                task.cancel()
            for outcome in await asyncio.gather(*stopping, return_exceptions=True):
                if isinstance(outcome, Exception):
                    LOG.error("an endpoint did not stop", exc_info=outcome)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup(sockets)
        try:
            for listener in self._listeners:
                await listener.start(self.lifespan.state["service"])
        except OSError:
            await self.shutdown(sockets)
            raise
        self._watching = asyncio.create_task(self._certificate.watch()) if self._certificate else None
        asyncio.get_running_loop().set_exception_handler(_log_loop_error)
        for listening in sockets or []:
            listening.listen(BACKLOG)  # asyncio listens with the number of connections it accepts at once


def run_server(settings: Settings, open_engine: OpenEngine = open_engine) -> None:
    """Serve until SIGTERM or SIGINT, then answer the accepted requests and return. SIGTERM drains first.

    Raises:
        OSError: the address cannot be bound.
    """
    handler = configure_logging(settings.log_level, settings.log_format)
    for warning in unknown_variables(os.environ):
        LOG.warning("%s", warning)
    server = create_server(settings, open_engine)
    stop_at_signals(server)
    serve(server, handler, listen(settings))


def stop_at_signals(server: Server) -> None:
    """Set SIGTERM and SIGINT to stop a server, before it runs."""

    def stop(_: int, __: FrameType | None) -> None:
        """Stop the server. uvicorn raises the signal again after shutdown, which must not kill the process."""
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def serve(server: Server, handler: logging.Handler, listening: socket.socket) -> None:
    """Run a server until SIGTERM or SIGINT. `handler` writes its log."""
    with write_in_background(handler):
        server.run(sockets=[listening])
    if not server.force_exit:
        LOG.info("shutdown complete: all accepted requests were answered")


def create_server(
    settings: Settings, open_engine: OpenEngine = open_engine, listeners: Sequence[Listener] = ()
) -> Server:
    """Return a server of the application, not yet running. `open_engine` opens the engine of a package."""
    maximum = _max_connections(settings)
    certificate = Certificate(settings.ssl_certfile, settings.ssl_keyfile) if settings.ssl_certfile else None
    app = create_app(settings, open_engine)
    config = uvicorn.Config(
        app,
        http=cast(type[asyncio.Protocol], _protocol(settings, Connections(maximum, app.state.metrics), certificate)),
        proxy_headers=False,  # the application reads them, from trusted proxies
        ws="none",  # `ProblemProtocol` knows which addresses have one
        ws_max_size=settings.max_image_bytes,
        ws_per_message_deflate=False,  # images are compressed
        backlog=_accepted_at_once(settings, maximum),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.timeout) + 5,
    )
    return Server(config, settings.drain_seconds, certificate, [*listeners, *make_listeners(settings, certificate)])


def _accepted_at_once(settings: Settings, maximum: int) -> int:
    if settings.processes > 1:
        return 1  # the others get their share
    return min(ACCEPTED_AT_ONCE, maximum // 12 + 1)  # descriptors of closed connections are free one turn later


def listen(settings: Settings) -> socket.socket:
    """Bind the address before any model is loaded, so that a port in use is reported at once.

    Raises:
        OSError: the address cannot be bound.
    """
    host = settings.host.removeprefix("[").removesuffix("]")  # as IPv6 addresses are written in URLs
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        raise OSError(error.errno, _listen_fault(error.errno, reason), f"{settings.host}:{settings.port}") from error
    # asyncio sets this only on sockets it created; without it, kept-alive connections wait 40 ms for an ACK
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, port = listening.getsockname()[:2]
    models = settings.repository or f"{DEFAULT_REPOSITORY.root} (the bundled model while that is empty)"
    scheme = "https" if settings.ssl_certfile else "http"
    LOG.info("listening on %s://%s:%d, models in %s", scheme, f"[{host}]" if ":" in host else host, port, models)
    if not settings.keys and not ip_address(host.partition("%")[0]).is_loopback:
        LOG.warning("everybody who can reach %s can send requests: set --keys, or listen on 127.0.0.1", host)
    return listening


def _listen_fault(number: int | None, reason: str) -> str:
    if number in (errno.EADDRINUSE, errno.EACCES):
        return f"{reason}; choose another --port"
    return f"{reason}; expected --host to be an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all"


def _max_connections(settings: Settings) -> int:
    """Return the number of connections that the limit of open files allows."""
    descriptors = raise_descriptor_limit()
    maximum = max_connections(descriptors, settings.max_connections)
    if settings.max_connections and maximum < settings.max_connections:
        text = "max_connections is %d instead of %d: the limit of open files is %d (ulimit -n)"
        LOG.warning(text, maximum, settings.max_connections, descriptors)
    return maximum


def _protocol(
    settings: Settings, connections: Connections, certificate: Certificate | None
) -> Callable[..., asyncio.BaseProtocol]:
    """Return a factory of connections with shared limits."""
    limits = TimeLimits(settings.header_timeout, settings.keep_alive_timeout, settings.timeout)
    plain = partial(ProblemProtocol, connections=connections, limits=limits)
    if certificate is None:
        return plain
    return lambda **options: TLSConnection(plain(**options), certificate.context, connections, limits.header)


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error in the event loop. Without descriptors, asyncio reports each connection that waits."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES:
        ACCEPT_LOG.error("connections cannot be accepted (%s): raise the limit of open files (ulimit -n)", error)
    else:
        loop.default_exception_handler(context)
