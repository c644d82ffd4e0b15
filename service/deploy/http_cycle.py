"""One request and its response on a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.deploy.transport import LingeringTransport

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Cycle(RequestResponseCycle):
    """uvicorn's cycle with fewer copies of the body, and a response that leaves in one packet."""

    transport: LingeringTransport  # type: ignore[assignment]  # it delegates all else to a transport

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._parts: list[bytes] = []
        self.buffered = 0
        """Bytes of the body that the application has not received yet."""

    def add(self, part: bytes) -> None:
        """Keep a part of the body for the application."""
        self._parts.append(part)
        self.buffered += len(part)
        self.message_event.set()

    async def receive(self) -> ASGIReceiveEvent:
        """Return all that has arrived of the body. A single part is not copied."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(CONTINUE)
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        parts, self._parts, self.buffered = self._parts, [], 0
        return {"type": "http.request", "body": b"".join(parts), "more_body": self.more_body}

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message. The head leaves together with what follows it."""
        is_head = not self.response_started
        if is_head:
            self.transport.hold()
        await super().send(message)
        if not is_head:
            self.transport.flush()
