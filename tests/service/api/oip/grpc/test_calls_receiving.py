"""Messages that do not arrive, and answers that are not read: they hold no place for long."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

grpc = pytest.importorskip("grpc", reason="needs the extra grpc")

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.api.oip.grpc import calls, health
from service.api.oip.grpc.protobuf import SERVICE, message
from tests.service.app_client import png, wait_until
from tests.service.conftest import flat
from tests.service.grpc_server import GrpcServer, files_request

DATA, HEADERS, SETTINGS = 0, 1, 4  # types of frames (RFC 9113, section 6)
END_HEADERS = 4


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def header(name: str, value: str) -> bytes:
    """Return a header without compression (RFC 7541, section 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


@contextmanager
def stalled(server: GrpcServer, path: str) -> Iterator[socket.socket]:
    """Send a call over HTTP/2 whose message does not end."""
    host, _, port = server.address.partition(":")
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": host, "te": "trailers"}
    fields["content-type"] = "application/grpc"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b""))
        connection.sendall(frame(HEADERS, END_HEADERS, 1, b"".join(header(*field) for field in fields.items())))
        connection.sendall(frame(DATA, 0, 1, b"\0" + (1000).to_bytes(4, "big") + b"\x0a"))
        yield connection


def received(connection: socket.socket) -> bytes:
    data = b""
    while b"grpc-status" not in data:
        part = connection.recv(65536)
        assert part
        data += part
    return data


def test_stalled_messages_leave_their_turn_to_others(toy_package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CROWDED_SECONDS", 0.1)
    with GrpcServer(Repository(toy_package.path.parents[1]), max_body=1 << 20, max_pending=1 << 20) as server:
        server.wait_until_ready()
        with stalled(server, f"/{SERVICE}/ModelInfer") as connection:
            wait_until(lambda: server.call("ServerLive", b"").result())
            assert server.call("ModelInfer", files_request(png(flat(255))).SerializeToString()).result()
            assert b"the message did not arrive in time" in received(connection)
        assert re.search(r'requests_total{code="DEADLINE_EXCEEDED",.*protocol="oip-grpc"', server.metrics())


def test_probes_that_do_not_arrive_end_soon(toy_package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (calls, health):
        monkeypatch.setattr(module, "PROBE_SECONDS", 0.1)
    with GrpcServer(Repository(toy_package.path.parents[1])) as server:
        with stalled(server, f"/{SERVICE}/ServerReady") as connection:
            assert b"the message did not arrive in time" in received(connection)
        with stalled(server, f"/{health.NAME}/Watch") as connection:
            assert b"expected a message at once" in received(connection)


def test_streams_whose_answers_are_not_read_are_closed(toy_package: Package, caplog: pytest.LogCaptureFixture) -> None:
    """The answers repeat the id, and fill what the client receives without reading."""
    done = threading.Event()

    def requests() -> Iterator[Any]:
        yield from [message("ModelInferRequest")(model_name="toy", id="x" * 1000)] * 1000
        done.wait(30)

    with GrpcServer(Repository(toy_package.path.parents[1]), timeout=0.5) as server:
        server.wait_until_ready()
        few = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1024)]
        server.channel = grpc.insecure_channel(server.address, options=few)
        answers = server.stream(requests())
        wait_until(lambda: "its client does not read the answers" in caplog.text)
        answers.cancel()  # type: ignore[attr-defined]
        done.set()
