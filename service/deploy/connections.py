"""The open connections of a server, limited in number."""

from __future__ import annotations

import logging
from itertools import islice
from typing import Final, Protocol

from service.telemetry.logs import OncePerSecond
from service.telemetry.metrics import Metrics

LOG: Final = logging.getLogger(__name__)
LOG.addFilter(OncePerSecond())
MAX_TRIED: Final = 100


class Connection(Protocol):
    """A connection that can be closed at once."""

    def abort(self) -> None:
        """Close the connection without sending what is buffered."""

    def has_unread(self) -> bool:
        """Return whether bytes have arrived that nobody has read."""


class Connections:
    """Counts connections. When there are too many, those that wait for a request longest are closed first."""

    def __init__(self, maximum: int, metrics: Metrics | None = None) -> None:
        self._maximum = maximum
        self.metrics = metrics or Metrics()
        """Metrics of the application, for what happens before it gets a request."""
        self.metrics.connections.set_function(lambda: len(self))
        self.metrics.connections_limit.set(maximum)
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}  # in the order in which they began to wait

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> bool:
        """Count a new connection. Return False if it must be refused because all others have a request."""
        if connection in self._open:  # counted since before its TLS handshake
            return True
        while (is_full := len(self._open) >= self._maximum) and self._close_oldest():
            pass
        self._open.add(connection)
        return not is_full

    def discard(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def set_waiting(self, connection: Connection, waiting: bool) -> None:
        """Record whether a connection waits for a request. Those that do may be closed at any time."""
        self._waiting.pop(connection, None)
        if waiting:
            self._waiting[connection] = None

    def _close_oldest(self) -> bool:
        idle = (connection for connection in islice(self._waiting, MAX_TRIED) if not connection.has_unread())
        oldest = next(idle, None)
        if oldest is None:
            LOG.warning("%d connections are open and have a request: refusing more with 503", self._maximum)
            return False
        LOG.warning("%d connections are open: closing those that wait for a request longest", self._maximum)
        self.metrics.connections_closed.labels("replaced").inc()
        self.discard(oldest)
        oldest.abort()
        return True
