"""Local HTTP server of one file, which can be configured to misbehave."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.http_server import running


@dataclass
class FileServer:
    """The file and how it is served. Tests change it between requests."""

    contents: bytes
    supports_ranges: bool = True
    sends_etag: bool = True
    cut: int | None = None  # bytes of a body after which the connection ends
    stall: float = 0.0  # seconds before the last byte of a body
    status: int = 200
    location: str = ""  # target of a redirect
    content_type: str = "application/octet-stream"
    sends_length: bool = True
    wrong_headers: Mapping[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range of every request
    user_agents: set[str] = field(default_factory=set)
    address: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.contents).hexdigest()

    @property
    def etag(self) -> str:
        return f'"{self.sha256[:16]}"'

    def url(self, name: str = "weights.pt") -> str:
        return f"{self.address}/{name}"

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        requested_range = handler.headers.get("Range")
        self.requests.append((handler.path, requested_range))
        self.user_agents.add(handler.headers["User-Agent"])
        if self.location and handler.path != "/moved":
            return self._head(handler, 302, {"Location": self.location, "Content-Length": "0"})
        if self.status != 200:
            return self._head(handler, self.status, {"Content-Length": "0"})
        start = self._start(requested_range, handler.headers.get("If-Range"))
        headers = {"Content-Type": self.content_type} | ({"ETag": self.etag} if self.sends_etag else {})
        if self.sends_length:
            headers["Content-Length"] = str(len(self.contents) - start)
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(self.contents) - 1}/{len(self.contents)}"
        self._head(handler, 206 if start else 200, headers | dict(self.wrong_headers))
        return self._body(handler, self.contents[start:][: self.cut])

    def _start(self, requested_range: str | None, condition: str | None) -> int:
        honored = requested_range and self.supports_ranges and condition == self.etag
        return int(requested_range[6:-1]) if honored else 0

    def _head(self, handler: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str]) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    def _body(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.wfile.write(body[:-1])
        handler.wfile.flush()
        time.sleep(self.stall)
        handler.wfile.write(body[-1:])


@contextmanager
def serving_file(contents: bytes) -> Iterator[FileServer]:
    served = FileServer(contents)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):  # the client closed the connection
                served.respond(self)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with running(server) as served.address:
        yield served
