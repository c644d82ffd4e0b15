"""`lineage serve`."""

from __future__ import annotations

import logging
import os
import signal
import socket
from types import FrameType
from typing import Annotated

import tyro
import uvicorn

from service.app import create_app
from service.deploy.h11_protocol import ProblemProtocol
from service.inference.bundled import DEFAULT_REPOSITORY
from service.settings import Settings, unknown_variables
from service.telemetry.logs import configure_logging

LOG = logging.getLogger(__name__)

# Read when the command is imported, which is when it runs: the flags' defaults, and --help, are what would be used.
FROM_ENVIRONMENT = Settings()


def serve(settings: Annotated[Settings, tyro.conf.arg(name="")] = FROM_ENVIRONMENT) -> int:
    """Answer POST /detect with the models of a repository.

    Every flag can also be set by an environment variable: --max-batch is LINEAGE_MAX_BATCH. Flags win.
    """
    configure_logging(settings.log_level)
    for complaint in unknown_variables(os.environ):
        LOG.warning("%s", complaint)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            http=ProblemProtocol,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(settings.timeout) + 5,
        )
    )

    def end(_: int, __: FrameType | None) -> None:
        """Take the signals that uvicorn raises again when all is answered: that is the end asked for, not a failure."""
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    server.run(sockets=[_listen(settings)])
    LOG.info("every accepted request is answered; good bye")
    return 0


def _listen(settings: Settings) -> socket.socket:
    """Bind before anything is loaded, so that a port in use is told at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{settings.host}:{settings.port}") from error
    # asyncio does this for connections of sockets it made itself; without it a kept-alive answer waits 40 ms for an ACK
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, port = listening.getsockname()[:2]
    place = settings.repository or f"{DEFAULT_REPOSITORY.root}, or those that come with the service"
    LOG.info("listening on http://%s:%d, models in %s", f"[{host}]" if ":" in host else host, port, place)
    return listening
