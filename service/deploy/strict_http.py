"""h11's parser without the leniency that lets a proxy and this server disagree on where a request ends (RFC 9112)."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, Final

import h11

MAX_HEAD: Final = 16_384
_MAX_FAULT: Final = 200
_BYTES: Final = re.compile(r"""bytearray\(b('.*?'|".*?")\)""")
_BARE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_FOLDED: Final = re.compile(rb"\n[ \t]")
_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")


class StrictConnection(h11.Connection):
    """A connection that refuses ambiguous requests, and keeps the reason why one is malformed."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD)
        self.is_too_large = False
        """Whether the head has too many bytes."""
        self.fault = ""
        """Why the request is malformed. Parts that the client sent follow a colon."""
        self._is_chunked = False
        self._last = b""  # byte of a body in chunks that h11 has read
        self._head = b""  # of an answer, which leaves together with the first part of its body

    def send(self, event: Any) -> bytes:  # type: ignore[override]  # overloads by event
        """Return the bytes of an event. The head of an answer leaves with what follows it."""
        data = super().send(event) or b""
        if isinstance(event, h11.Response):
            self._head = data
            return b""
        head, self._head = self._head, b""
        return head + data if head else data

    def next_event(self) -> Any:
        """Return the next event."""
        try:
            if self.their_state is h11.IDLE:
                _check_head(self.trailing_data[0])
            before = self.trailing_data[0] if self._is_chunked else b""  # a copy
            event = super().next_event()
            if isinstance(event, h11.Request):
                _check_request(event)
                self._is_chunked, self._last = _is_chunked(event), b"\n"
            elif self._is_chunked:
                read = before[: len(before) - len(self.trailing_data[0])]
                if isinstance(event, h11.EndOfMessage):
                    _check_end(self._last, read)
                self._last = read[-1:] or self._last
        except h11.RemoteProtocolError as error:
            self.is_too_large = error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self.fault = _BYTES.sub(r"\1", str(error))[:_MAX_FAULT]
            if self.fault.startswith("illegal request line"):
                self.fault += "; expected METHOD TARGET HTTP/1.1, with blanks in the target as %20"
            raise
        return event


def _check_head(received: bytes) -> None:
    """Check the bytes of a head, which may be incomplete, before h11 reads over what is wrong with them."""
    end = received.find(b"\n\r\n")
    ends = [end + 3] if end >= 0 else []
    bare = received.find(b"\n\n", 0, *ends)  # what follows may be a long body
    ends += [bare + 2] if bare >= 0 else []
    head = received[: min(ends, default=None)]
    if len(head) > MAX_HEAD:
        text = f"expected a head of at most {MAX_HEAD} bytes"
        raise h11.RemoteProtocolError(text, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    if not ends:
        return
    if _BARE.search(head):
        raise h11.RemoteProtocolError("expected lines that end with CR LF; got one of them alone")
    if _FOLDED.search(head):
        raise h11.RemoteProtocolError("expected each header on one line; got a folded one")


def _check_end(last: bytes, read: bytes) -> None:
    """Check the end of a body in chunks. h11 lets its trailers end with LF alone, proxies may go on to read."""
    if _BARE_LF.search(last + read, len(last)):
        raise h11.RemoteProtocolError("expected trailers that end with CR LF; got LF alone")


def _is_chunked(request: h11.Request) -> bool:
    return any(name == b"transfer-encoding" for name, _ in request.headers)


def _check_request(request: h11.Request) -> None:
    """Check what h11 accepts but a proxy may read differently."""
    version = request.http_version.decode()
    if not version.startswith("1."):
        hint = " (gRPC has a port of its own)" if version == "2.0" else ""
        raise h11.RemoteProtocolError(f"HTTP/{version}{hint}: this server speaks HTTP/1.1")
    headers = dict(request.headers)
    if b"transfer-encoding" in headers and (b"content-length" in headers or version == "1.0"):
        raise h11.RemoteProtocolError("expected Content-Length or Transfer-Encoding, the latter in HTTP/1.1 only")
    if not _HOST.fullmatch(headers.get(b"host", b"")):
        raise h11.RemoteProtocolError(f"expected a host name or address in Host; got: {headers[b'host']!r}")
