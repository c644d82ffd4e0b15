"""A server in a thread of this process, and raw bytes sent to it over a socket."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from model_zoo.contract.repository import Repository
from service.deploy.uvicorn import create_server, listen
from service.settings import Settings

PATIENCE = 30.0
LENGTH = re.compile(rb"content-length: (\d+)")


@contextmanager
def listening(repository: Repository, **settings: Any) -> Iterator[int]:
    """Run the server on a free port and yield the port once its model is loaded."""
    options = Settings(repository=repository.root, port=0, **settings)
    server, bound = create_server(options), listen(options)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    port = int(bound.getsockname()[1])
    thread.start()
    try:
        while b"200 OK" not in exchange(port, get("/health/ready")):
            time.sleep(0.01)
        yield port
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def get(target: str, method: str = "GET", *headers: str) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def post(body: bytes, target: str = "/detect", kind: str = "image/png", *headers: str) -> bytes:
    return get(target, "POST", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers) + body


def exchange(port: int, sent: bytes, *, end: bool = True) -> bytes:
    """Send bytes and close the sending side, or leave it open. Return what arrives until the server closes."""
    with connect(port) as connection:
        connection.sendall(sent)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return receive_all(connection)


def receive_response(connection: socket.socket) -> bytes:
    """Receive one response whose length is stated, and leave the connection open."""
    received = b""
    while not (head := received.partition(b"\r\n\r\n"))[1] or len(head[2]) < int(LENGTH.findall(head[0])[0]):
        received += connection.recv(1 << 16)
    return received


def receive_all(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(1 << 16):
        received += data
    return received
