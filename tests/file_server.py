"""A real HTTP server on this machine that serves one file, and can be told to serve it badly."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What it serves and how; the tests change it between requests.

    cut: bytes of a body after which the connection ends. stall: seconds of silence before the body's last byte.
    """

    contents: bytes
    ranges: bool = True
    marked: bool = True
    cut: int | None = None
    stall: float = 0.0
    status: int = 200
    location: str = ""
    kind: str = "application/octet-stream"
    length: bool = True
    replace: Mapping[str, str] = field(default_factory=dict)  # headers that lie
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range of every request
    agents: set[str] = field(default_factory=set)
    address: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.contents).hexdigest()

    @property
    def tag(self) -> str:
        return f'"{self.sha256[:16]}"'

    def url(self, name: str = "weights.pt") -> str:
        return f"{self.address}/{name}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append((handler.path, wanted))
        self.agents.add(handler.headers["User-Agent"])
        if self.location and handler.path != "/moved":
            return self._head(handler, 302, {"Location": self.location, "Content-Length": "0"})
        if self.status != 200:
            return self._head(handler, self.status, {"Content-Length": "0"})
        start = self._start(wanted, handler.headers.get("If-Range"))
        headers = {"Content-Type": self.kind} | ({"ETag": self.tag} if self.marked else {})
        if self.length:
            headers["Content-Length"] = str(len(self.contents) - start)
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(self.contents) - 1}/{len(self.contents)}"
        self._head(handler, 206 if start else 200, headers | dict(self.replace))
        return self._body(handler, self.contents[start:][: self.cut])

    def _start(self, wanted: str | None, condition: str | None) -> int:
        return int(wanted[6:-1]) if wanted and self.ranges and condition == self.tag else 0

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
            with suppress(BrokenPipeError, ConnectionResetError):  # the client had enough
                served.answer(self)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
