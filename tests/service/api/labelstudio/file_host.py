"""A small HTTP server that stands for Label Studio: files, redirects, slow and endless answers, and tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.http_server import running

REFRESH, ACCESS = "head.body.signature", "access-token"


class FileHost:
    """Serves `files` by path and records the requests."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and Authorization of each request."""
        self.authorized: str | None = None
        """The Authorization that files need, None for any."""
        self.origin = ""


@contextmanager
def hosting() -> Iterator[FileHost]:
    """Run the server on a free port."""
    host = FileHost()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authorization = self.headers.get("Authorization", "")
            host.requests.append(("GET", self.path, authorization))
            if self.path.startswith("/redirect"):
                self.answer(302, b"", Location=f"{host.origin}/a.png")
            elif self.path == "/endless":
                self.send_response(200)
                self.end_headers()
                self.drip(b"x" * 65_536, 0)
            elif self.path == "/slow":
                self.send_response(200)
                self.end_headers()
                self.drip(b"x", 0.05)
            elif host.authorized not in (None, authorization):
                self.answer(401, b"{}")
            else:
                found = host.files.get(self.path)
                self.answer(404 if found is None else 200, found or b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            host.requests.append(("POST", self.path, ""))
            is_known = json.loads(body) == {"refresh": REFRESH}
            self.answer(200 if is_known else 401, json.dumps({"access": ACCESS}).encode())

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def drip(self, chunk: bytes, pause: float) -> None:
            try:
                while True:
                    self.wfile.write(chunk)
                    time.sleep(pause)
            except OSError:
                pass

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with running(server) as host.origin:
        yield host
