"""HTTP server that performs a script: one action for each request, then the last one again."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.http_server import running

Action = Callable[[BaseHTTPRequestHandler], None]
SECONDS = 10.0  # the longest that an action waits
FOUND = {
    "model": {"name": "toy", "version": 1},
    "results": [
        {
            "file": None,
            "image": {"width": 64, "height": 48},
            "detections": [{"box": [1.5, 2.0, 30.25, 40.0], "score": 0.875, "class_id": 1, "label": "green"}],
        }
    ],
    "timing_ms": {"decode": 1.0, "queue": 0.0, "infer": 2.0, "total": 4.0},
}


@dataclass(frozen=True)
class Received:
    """A request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Scripted:
    """The script of a server, and the requests it has received."""

    url: str
    actions: list[Action] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def script(self, *actions: Action) -> None:
        self.actions[:] = actions

    def perform(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.received.append(Received(handler.command, handler.path, dict(handler.headers), body))
        action = self.actions.pop(0) if len(self.actions) > 1 else self.actions[0]
        action(handler)

    def hang(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer nothing until the test ends."""
        self.ended.wait(SECONDS)
        handler.close_connection = True

    def drip(self, handler: BaseHTTPRequestHandler) -> None:
        """Send a byte of the body every 50 ms."""
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        while not self.ended.wait(0.05):
            handler.wfile.write(b" ")


def answer(status: int = 200, body: object = FOUND, **headers: str) -> Action:
    """Answer with JSON, or with a text."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        handler.send_response(status)
        for name, value in (sent | {name.replace("_", "-"): value for name, value in headers.items()}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return respond


def problem(status: int, title: str, **headers: str) -> Action:
    """Answer with a problem as the server does."""
    kind = f"urn:yolo-lineage:problem:{title.lower().replace(' ', '-')}"
    body = {"type": kind, "title": title, "status": status, "detail": "the reason", "request_id": "abc"}
    return answer(status, body, Content_Type="application/problem+json", **headers)


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Reset the connection."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def cut(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection in the middle of the body."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"model": ')
    handler.close_connection = True


@contextmanager
def scripted_server(port: int = 0) -> Iterator[Scripted]:
    script = Scripted("", [answer()])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            with suppress(OSError):  # the client closed the connection
                script.perform(self)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None: ...

    server = Server(("127.0.0.1", port), Handler)
    with running(server) as script.url:
        try:
            yield script
        finally:
            script.ended.set()
