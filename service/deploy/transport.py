"""A transport that closes without losing the response."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Any


def has_unread(transport: asyncio.Transport) -> bool:
    """Return whether bytes have arrived that the event loop has not read yet."""
    if transport.is_closing():
        return False
    arrived = select.poll()
    arrived.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(arrived.poll(0))


class LingeringTransport:
    """Closes the sending side first while the client is still sending (RFC 9112, section 9.6).

    Closing a socket with unread data resets the connection, and clients lose the response that explains the reason.
    The owner discards what arrives, and ends the connection after a time limit.
    """

    def __init__(self, transport: asyncio.Transport, is_receiving: Callable[[], bool]) -> None:
        self.inner, self._is_receiving = transport, is_receiving
        """Transport that closes at once."""
        self._lingering = False
        self._holds, self._held = False, b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def is_closing(self) -> bool:
        """Return True once `close` or `abort` was called."""
        return self._lingering or self.inner.is_closing()

    def hold(self) -> None:
        """Keep the next data until more is written, so that both leave in one packet."""
        self._holds = True

    def write(self, data: bytes) -> None:
        """Send data, or hold it."""
        if self._holds:
            self._holds, self._held = False, data
        elif self._held:
            held, self._held = self._held, b""
            self.inner.write(held + data)
        else:
            self.inner.write(data)

    def flush(self) -> None:
        """Send what is held."""
        self._holds = False
        if self._held:
            self.write(b"")

    def close(self) -> None:
        """Send what is buffered and close, or end only the sending side if the client is still sending."""
        if self._lingering:
            return
        self.flush()
        if self._is_receiving() and not self.inner.is_closing():
            self._lingering = True
            if self.inner.can_write_eof():  # TLS has none: the client learns the end by the length
                self.inner.write_eof()
            self.inner.resume_reading()
        else:
            self.inner.close()
