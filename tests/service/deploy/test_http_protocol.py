"""Connections to a real server: half-closed, slow, idle, too many."""

from __future__ import annotations

import json
import logging
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.deploy.http_protocol import MAX_PIPELINED
from tests.service.app_client import png
from tests.service.conftest import flat
from tests.service.deploy.wire import connect, exchange, get, listening, post, receive_all, receive_response

LIVE = get("/health/live")
IMAGE = png(flat(9))


@pytest.fixture(scope="module")
def models(toy_package: Package) -> Repository:
    return Repository(toy_package.path.parents[1])


@pytest.fixture(scope="module")
def port(models: Repository) -> Iterator[int]:
    """A server with short time limits that the tests do not change."""
    with listening(models, header_timeout=0.5, keep_alive_timeout=0.5, timeout=1.0) as port:
        yield port


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(IMAGE),
        get("/detect", "POST", "Content-Type: image/png", "Transfer-Encoding: chunked")
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(IMAGE), IMAGE),
        get("/models"),
        get("/playground/app.js"),
    ],
)
def test_half_closed_client_is_answered(port: int, request_bytes: bytes) -> None:
    assert exchange(port, request_bytes).startswith(b"HTTP/1.1 200 OK")


def test_half_closed_client_gets_all_pipelined_answers(port: int) -> None:
    assert exchange(port, LIVE + post(IMAGE) + LIVE).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("request_bytes", [post(IMAGE)[:-5], b"GET / HT", LIVE + b"GET"])
def test_incomplete_request_is_refused(port: int, request_bytes: bytes) -> None:
    received = exchange(port, request_bytes)
    assert b"HTTP/1.1 400 Bad Request" in received
    problem = json.loads(received.rpartition(b"\r\n\r\n")[2])
    assert problem["title"] == "Bad request"
    assert problem["error"] == problem["message"] == problem["detail"]  # what clients of any protocol read
    assert problem["success"] is False


def test_empty_lines_before_a_request_are_ignored(port: int) -> None:
    assert exchange(port, b"\r\n\r\n" + LIVE).startswith(b"HTTP/1.1 200 OK")


def test_slow_head_is_refused_and_silence_is_closed(port: int) -> None:
    head, _, body = exchange(port, LIVE[:30], end=False).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 Request Timeout")
    assert b"connection: close" in head
    assert json.loads(body)["title"] == "Head too slow"
    assert exchange(port, b"", end=False) == b""


def test_trickling_head_does_not_extend_the_limit(port: int) -> None:
    with connect(port) as connection:
        connection.settimeout(0.1)
        for n in range(100):
            connection.sendall(LIVE[n : n + 1] if n < 30 else b"x")
            try:
                received = connection.recv(100)
                break
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 408")


def test_idle_connection_is_closed_after_its_own_limit(models: Repository) -> None:
    with listening(models, header_timeout=0.3, keep_alive_timeout=60.0) as port, connect(port) as connection:
        for _ in range(2):
            connection.sendall(LIVE)
            assert receive_response(connection).startswith(b"HTTP/1.1 200 OK")
            connection.settimeout(0.6)
            with pytest.raises(TimeoutError):
                connection.recv(1)
    with listening(models, header_timeout=60.0, keep_alive_timeout=0.3) as port, connect(port) as connection:
        connection.sendall(LIVE)
        assert receive_all(connection).startswith(b"HTTP/1.1 200 OK")


def test_body_that_trickles_after_the_response_is_cut_off(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(post(bytes(1000), "/detect?model=unknown")[:-900])
        assert receive_response(connection).startswith(b"HTTP/1.1 404")
        assert _trickle(connection) < 200, "the connection is still open"


def test_client_that_does_not_read_is_cut_off(models: Repository) -> None:
    with listening(models, timeout=0.5, keep_alive_timeout=0.5) as port, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", port))
        sender = threading.Thread(target=_send_until_refused, args=(connection, get("/openapi.json")))
        sender.start()
        sender.join(30)
        assert not sender.is_alive()


def _send_until_refused(connection: socket.socket, request: bytes) -> None:
    try:
        while True:
            connection.sendall(request)
    except OSError:
        return


@pytest.mark.parametrize("target", ["/detect?model=unknown", "/nothing", "/detect"])
def test_refusal_reaches_a_client_that_is_still_sending(port: int, target: str) -> None:
    """urllib sends `Connection: close` and reads nothing until it has sent everything."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{target}", bytes(80 << 20), {"Content-Type": "image/png"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    assert caught.value.code in (404, 413)
    caught.value.close()


def test_offers_of_other_protocols_are_ignored(port: int, caplog: pytest.LogCaptureFixture) -> None:
    h2c = post(
        IMAGE, "/detect", "image/png", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: A"
    )
    websocket = get("/", "GET", "Connection: Upgrade", "Upgrade: websocket")
    assert exchange(port, h2c).startswith(b"HTTP/1.1 200 OK")
    assert exchange(port, websocket).startswith(b"HTTP/1.1 200 OK")
    assert caplog.text == ""


def test_new_clients_replace_those_that_wait_longest(models: Repository) -> None:
    with listening(models, max_connections=8) as port, ExitStack() as stack:
        waiting = [stack.enter_context(connect(port)) for _ in range(40)]
        assert exchange(port, post(IMAGE)).startswith(b"HTTP/1.1 200 OK")
        assert all(_is_closed(connection) for connection in waiting[:20])


def test_new_client_is_refused_while_all_others_send_requests(models: Repository) -> None:
    with listening(models, max_connections=4, timeout=20.0) as port, ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(connect(port))
            connection.sendall(post(b"x", "/detect", "image/png", "Expect: 100-continue")[:-1])
            assert connection.recv(1000).startswith(b"HTTP/1.1 100")  # the request has begun
        head, _, body = exchange(port, b"", end=False).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in head.lower()
        assert json.loads(body)["title"] == "Too many connections"


def _trickle(connection: socket.socket) -> int:
    """Send a byte every tenth of a second until the server closes, and return their number."""
    connection.settimeout(0.1)
    for sent in range(200):
        try:
            connection.sendall(b"x")
            if not connection.recv(1000):
                return sent
        except TimeoutError:
            continue
        except OSError:
            return sent
    return 200


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "expected one Host header; got 0"),
        (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", "illegal request line: 'GET /a b HTTP/1.1'; expected METHOD TARGET"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2.0 (gRPC has a port of its own): this server speaks HTTP/1.1"),
        (b"nonsense" * 100 + b"\r\n\r\n", "illegal request line"),
        (get("/", "POST", "Content-Length: 1", "Content-Length: 2"), "Duplicate Content-Length"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "this server speaks plain http://"),
    ],
)
def test_malformed_http_is_explained(port: int, sent: bytes, reason: str) -> None:
    detail = json.loads(exchange(port, sent, end=False).partition(b"\r\n\r\n")[2])["detail"]
    assert reason in detail
    assert len(detail) < 300


def test_target_beyond_ascii_is_read_as_utf_8(port: int) -> None:
    """curl sends an address as it was typed."""
    received = exchange(port, post(IMAGE, "/detect?classes=\u4eba"))
    assert "has no class '\u4eba'" in json.loads(received.partition(b"\r\n\r\n")[2])["detail"]


def test_request_line_is_read_in_pieces(port: int) -> None:
    with connect(port) as connection:
        for byte in post(IMAGE, "/detect?classes=\u4eba"):
            connection.sendall(bytes([byte]))
        assert "has no class '\u4eba'" in json.loads(receive_response(connection).partition(b"\r\n\r\n")[2])["detail"]


def test_too_many_requests_before_the_first_answer_are_refused(port: int) -> None:
    received = exchange(port, LIVE * (MAX_PIPELINED + 2))
    assert received.count(b"HTTP/1.1 200 OK") == MAX_PIPELINED + 1
    assert received.count(b"HTTP/1.1 400 Bad Request") == 1


def test_response_leaves_in_one_packet(port: int) -> None:
    with connect(port) as connection:
        for request, is_head in ((LIVE, False), (get("/health/live", "HEAD"), True)) * 2:
            connection.sendall(request)
            head, end, body = connection.recv(1 << 16).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert end
            assert bool(body) is not is_head


def test_end_of_the_stream_after_a_refusal_is_no_error(port: int, caplog: pytest.LogCaptureFixture) -> None:
    assert exchange(port, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert exchange(port, get("/", "GET", "Host: y")).startswith(b"HTTP/1.1 400")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
