"""Doors with an endpoint of their own, such as gRPC, beside the HTTP server."""

from __future__ import annotations

from typing import Protocol

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
