"""The Open Inference Protocol over gRPC, in the event loop of the HTTP server. Needs the extra `grpc`."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Final

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # the C library writes to stderr, past the log

import grpc

from service.api.oip.grpc.calls import Calls
from service.api.oip.grpc.handlers import make_handlers
from service.deploy.tls import Certificate
from service.settings import Settings
from service.state import AppState

LOG: Final = logging.getLogger(__name__)
MAX_CALLS: Final = 1000  # open calls, most of which wait
MAX_CONNECTIONS: Final = 1000
_KEEPALIVE_MS: Final = 60_000


class GrpcServer:
    """Serves one port."""

    def __init__(self, settings: Settings, certificate: Certificate | None = None) -> None:
        self._settings, self._certificate = settings, certificate
        self._server: grpc.aio.Server | None = None
        self.port = 0
        """Number of the port, once it is open."""

    async def start(self, state: AppState) -> None:
        """Bind the port and accept calls.

        Raises:
            OSError: the port cannot be bound.
        """
        self._calls = Calls(state)
        server = grpc.aio.server(options=_options(self._settings), maximum_concurrent_rpcs=MAX_CALLS)
        server.add_generic_rpc_handlers(make_handlers(state, self._calls))
        host, scheme = self._settings.host.strip("[]"), "grpcs" if self._certificate else "grpc"
        address = f"[{host}]" if ":" in host else host
        port = self._bind(server, f"{address}:{self._settings.grpc_port}")
        await server.start()
        self._server, self.port = server, port
        LOG.info("listening on %s://%s:%d", scheme, address, port)

    async def stop(self) -> None:
        """Accept no new calls, and return once the accepted ones are answered or their deadlines have passed."""
        if self._server:
            self._calls.closing.set()
            try:
                await self._server.stop(self._settings.timeout)
            finally:  # a second interrupt waits for nothing
                await self._server.stop(None)

    def _bind(self, server: grpc.aio.Server, address: str) -> int:
        """Bind the port and return its number."""
        try:
            if self._certificate:
                return int(server.add_secure_port(address, _credentials(self._settings, self._certificate)))
            return int(server.add_insecure_port(address))
        except RuntimeError as error:
            number, reason = _bind_fault(self._settings)
            raise OSError(number, f"{reason}; choose another --grpc-port", address) from error


def _options(settings: Settings) -> list[tuple[str, int]]:
    """Return the limits of connections and messages."""
    return [
        ("grpc.so_reuseport", 0),  # a port in use is an error
        ("grpc.max_receive_message_length", settings.max_body),
        ("grpc.max_send_message_length", -1),
        ("grpc.per_message_decompression", 0),  # done within limits
        ("grpc.max_concurrent_streams", MAX_CALLS),
        ("grpc.max_allowed_incoming_connections", MAX_CONNECTIONS),
        ("grpc.server_handshake_timeout_ms", int(1000 * settings.header_timeout)),
        ("grpc.max_connection_idle_ms", int(1000 * settings.keep_alive_timeout)),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),  # finds clients that have gone silently
    ]


def _credentials(settings: Settings, certificate: Certificate) -> grpc.ServerCredentials:
    """Return the certificate of the HTTP server. New connections get a renewed one."""
    used = certificate.context

    def read() -> grpc.ServerCertificateConfiguration:
        chain = Path(str(settings.ssl_certfile))
        return grpc.ssl_server_certificate_configuration(
            [((settings.ssl_keyfile or chain).read_bytes(), chain.read_bytes())]
        )

    def read_if_renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal used
        if used is certificate.context:
            return None
        used = certificate.context
        return read()

    return grpc.dynamic_ssl_server_credentials(read(), read_if_renewed)


def _bind_fault(settings: Settings) -> tuple[int | None, str]:
    """Return why the port cannot be bound, which gRPC does not report."""
    host = settings.host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, settings.grpc_port or 0), family=family).close()
    except OSError as error:
        return error.errno, str(error.strerror).partition(" (while")[0]
    return None, "gRPC cannot bind the port"
