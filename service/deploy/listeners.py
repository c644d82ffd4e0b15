"""Protocols with an endpoint of their own, such as gRPC, beside the HTTP server."""

from __future__ import annotations

from typing import Protocol

from service.deploy.tls import Certificate
from service.settings import Settings
from service.state import AppState


class Listener(Protocol):
    """An endpoint that starts and stops with the HTTP server, in its event loop."""

    async def start(self, state: AppState) -> None:
        """Bind the endpoint and accept requests.

        Raises:
            OSError: the endpoint cannot be bound.
        """

    async def stop(self) -> None:
        """Accept no new requests, and return once the accepted ones are answered or their deadlines have passed."""


def make_listeners(settings: Settings, certificate: Certificate | None) -> list[Listener]:
    """Return the endpoints that the settings ask for. Their packages are imported only then."""
    listeners: list[Listener] = []
    if settings.grpc_port is not None:
        from service.deploy.grpc_server import GrpcServer

        listeners.append(GrpcServer(settings, certificate))
    if settings.zmq is not None:
        from service.deploy.zmq_server import ZmqServer

        listeners.append(ZmqServer(settings))
    return listeners
