"""Run the application under uvicorn."""

from __future__ import annotations

import logging
import os
import signal
import socket
from types import FrameType

import uvicorn

from service.app import create_app
from service.deploy.h11_protocol import ProblemProtocol
from service.inference.bundled import DEFAULT_REPOSITORY
from service.settings import Settings, unknown_variables
from service.telemetry.logs import configure_logging

LOG = logging.getLogger(__name__)


def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then answer the accepted requests and return.

    Raises:
        OSError: the address cannot be bound.
    """
    configure_logging(settings.log_level)
    for warning in unknown_variables(os.environ):
        LOG.warning("%s", warning)
    config = uvicorn.Config(
        create_app(settings),
        http=ProblemProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.timeout) + 5,
    )
    server = uvicorn.Server(config)

    def stop(_: int, __: FrameType | None) -> None:
        """Stop the server. uvicorn raises the signal again after shutdown, which must not kill the process."""
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run(sockets=[listen(settings)])
    LOG.info("shutdown complete: all accepted requests were answered")


def listen(settings: Settings) -> socket.socket:
    """Bind the address before any model is loaded, so that a port in use is reported at once.

    Raises:
        OSError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{settings.host}:{settings.port}") from error
    # asyncio sets this only on sockets it created; without it, kept-alive connections wait 40 ms for an ACK
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, port = listening.getsockname()[:2]
    models = settings.repository or f"{DEFAULT_REPOSITORY.root} (the bundled model while that is empty)"
    LOG.info("listening on http://%s:%d, models in %s", f"[{host}]" if ":" in host else host, port, models)
    return listening
