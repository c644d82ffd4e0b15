"""WebSockets on real connections: handshakes, malformed and excessive frames, slow and silent clients."""

from __future__ import annotations

import json
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.deploy import websocket_protocol
from service.deploy.websocket_protocol import is_handshake
from tests.service.app_client import png
from tests.service.conftest import flat
from tests.service.deploy.wire import connect, exchange, get, listening, post, receive_all, receive_response

IMAGE = png(flat(200))
KEY = b64encode(bytes(16)).decode()
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
HANDSHAKE = (*UPGRADE, "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
MAX_PENDING = 100_000


@pytest.fixture(scope="module")
def models(toy_package: Package) -> Repository:
    return Repository(toy_package.path.parents[1])


@pytest.fixture(scope="module")
def port(models: Repository) -> Iterator[int]:
    """A server with small limits."""
    sizes = {"max_pending": MAX_PENDING, "max_body": MAX_PENDING, "max_image_bytes": 80_000}
    with listening(models, keep_alive_timeout=0.6, **sizes) as port:
        yield port


@contextmanager
def opened(port: int, target: str = "/ws/detect") -> Iterator[socket.socket]:
    with connect(port) as connection:
        connection.sendall(get(target, "GET", *HANDSHAKE))
        assert read_head(connection).startswith(b"HTTP/1.1 101")
        yield connection


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read(connection, 1)
    return head


def frame(opcode: int, data: bytes = b"", *, end: bool = True, masked: bool = True) -> bytes:
    """A frame with a mask of zeros."""
    size = len(data)
    first, rest = (size, b"") if size < 126 else (126, size.to_bytes(2)) if size < 65_536 else (127, size.to_bytes(8))
    return bytes([opcode | 128 * end, first | 128 * masked]) + rest + bytes(4 * masked) + data


def read_frame(connection: socket.socket) -> tuple[int, bytes]:
    head = read(connection, 2)
    size = head[1] if head[1] < 126 else int.from_bytes(read(connection, 2 if head[1] == 126 else 8))
    return head[0] & 15, read(connection, size)


def read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, data
        data += part
    return data


def answer_to(connection: socket.socket, image: bytes = IMAGE) -> dict[str, object]:
    connection.sendall(frame(BINARY, image))
    opcode, text = read_frame(connection)
    assert opcode == TEXT
    return dict(json.loads(text))


def close_code(connection: socket.socket) -> int:
    """Read until the server closes, and return its code."""
    while (received := read_frame(connection))[0] != CLOSE:
        continue
    return int.from_bytes(received[1][:2])


def test_images_are_answered_on_a_used_connection(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(get("/health/live"))
        assert receive_response(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(get("/ws/detect", "GET", *HANDSHAKE))
        assert b"x-request-id: " in read_head(connection)
        assert answer_to(connection)["frame"] == 0
        connection.sendall(frame(CLOSE, b"\x03\xe8"))
        assert close_code(connection) == 1000
        assert receive_all(connection) == b""


def test_fragments_and_pings_between_them_are_one_image(port: int) -> None:
    with opened(port) as connection:
        connection.sendall(frame(BINARY, IMAGE[:9], end=False) + frame(PING, b"x") + frame(CONTINUATION, end=False))
        assert read_frame(connection) == (PONG, b"x")
        connection.sendall(frame(CONTINUATION, IMAGE[9:]))
        assert json.loads(read_frame(connection)[1])["detections"]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(BINARY, IMAGE, masked=False), 1002),
        (frame(3), 1002),
        (frame(CONTINUATION), 1002),
        (bytes([BINARY | 128 | 64, 128]) + bytes(4), 1002),
        (frame(PING, bytes(126)), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(BINARY, bytes(80_001)), 1009),
        (frame(BINARY, bytes(60_000), end=False) + frame(CONTINUATION, bytes(30_000)), 1009),
        (bytes([BINARY | 128, 255]) + (1 << 62).to_bytes(8), 1009),
    ],
)
def test_malformed_and_huge_frames_close_the_connection(port: int, sent: bytes, code: int) -> None:
    with opened(port) as connection:
        connection.sendall(sent)
        assert close_code(connection) == code


@pytest.mark.parametrize("empty", [frame(PING), frame(PONG), frame(CONTINUATION, end=False)])
def test_frames_without_a_message_are_limited(port: int, empty: bytes) -> None:
    first = frame(BINARY, end=False) if empty[0] == CONTINUATION else b""
    with opened(port) as connection:
        connection.sendall(first + empty * 4096)
        connection.sendall(frame(PING, b"last"))
        assert close_code(connection) == 1008


def test_parts_of_messages_count_for_the_memory_of_all_bodies(port: int) -> None:
    with opened(port) as one, opened(port) as other:
        one.sendall(frame(BINARY, bytes(79_000), end=False) + frame(PING))
        assert read_frame(one)[0] == PONG
        other.sendall(frame(BINARY, bytes(79_000), end=False) + frame(PING))
        assert close_code(other) == 1013
        assert b"503" in exchange(port, post(bytes(50_000)))[:20]
    with opened(port) as connection:
        assert answer_to(connection)["frame"] == 0


def test_silence_ends_a_connection_and_pings_do_not_extend_it(port: int) -> None:
    with opened(port) as connection:
        connection.sendall(frame(PING))
        assert close_code(connection) == 1000
        assert receive_all(connection) == b""


def test_client_that_does_not_read_is_not_read_from(models: Repository) -> None:
    with listening(models) as port, opened(port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.3)
        pings = (frame(PING, bytes(125)) * 4000 + frame(TEXT, b"{}")) * 20
        with pytest.raises(TimeoutError):  # 10 MB, and as much of pongs
            connection.sendall(pings)


@pytest.mark.parametrize(
    "request_bytes",
    [
        get("/ws/detect", "GET", *UPGRADE),
        get("/ws/detect", "GET", *UPGRADE, "Sec-WebSocket-Version: 8", f"Sec-WebSocket-Key: {KEY}"),
        get("/ws/detect", "GET", *UPGRADE, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"),
        get("/ws/detect", "GET", *HANDSHAKE, f"Sec-WebSocket-Key: {KEY}"),
        get("/ws/detect", "GET", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", *HANDSHAKE[2:]),
        get("/ws/detect", "GET", *HANDSHAKE[2:]),
    ],
)
def test_other_handshakes_get_426_and_leave_http_intact(port: int, request_bytes: bytes) -> None:
    received = exchange(port, request_bytes + get("/health/live"))
    assert received.startswith(b"HTTP/1.1 426")
    assert received.count(b"HTTP/1.1 200") == 1


def test_body_of_a_handshake_is_read_as_a_body(port: int) -> None:
    smuggled = get("/models")
    request = get("/ws/detect", "GET", *HANDSHAKE, f"Content-Length: {len(smuggled)}") + smuggled
    received = exchange(port, request + get("/health/live"))
    assert (received.count(b"HTTP/1.1 "), received.count(b"HTTP/1.1 426"), received.count(b"200 OK")) == (2, 1, 1)


def test_pipelined_handshake_is_declined(port: int) -> None:
    received = exchange(port, post(IMAGE) + get("/ws/detect", "GET", *HANDSHAKE) + get("/health/live"))
    assert [received.count(status) for status in (b"200 OK", b"HTTP/1.1 426", b"HTTP/1.1 101")] == [2, 1, 0]


@pytest.mark.parametrize("rest", [get("/models"), frame(BINARY, IMAGE)])
def test_bytes_after_a_handshake_are_refused(port: int, rest: bytes) -> None:
    received = exchange(port, get("/ws/detect", "GET", *HANDSHAKE) + rest, end=False)
    assert received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 400") == 1


def test_refused_handshake_ends_the_connection(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with connect(port) as connection:
        connection.sendall(get("/ws/detect", "GET", *HANDSHAKE, "Origin: http://evil.example"))
        assert receive_response(connection).startswith(b"HTTP/1.1 403")
        connection.sendall(get("/models"))
        assert b"HTTP" not in receive_all(connection)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_handshake_with_a_long_address_is_answered(port: int) -> None:
    """The parser of handshakes would refuse it without an answer."""
    assert exchange(port, get(f"/ws/detect?classes={'a,' * 5000}", "GET", *HANDSHAKE)).startswith(b"HTTP/1.1 4")


def test_other_addresses_have_no_websocket(port: int) -> None:
    assert exchange(port, get("/models", "GET", *HANDSHAKE)).startswith(b"HTTP/1.1 200 OK")


def test_heads_that_the_parser_would_refuse_are_no_handshakes() -> None:
    headers = [
        (b"upgrade", b"WebSocket"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", KEY.encode()),
    ]
    assert is_handshake("GET", b"/ws/detect?score=0.3", headers)
    assert not is_handshake("POST", b"/ws/detect", headers)
    assert not is_handshake("GET", b"/ws/detect", [*headers, (b"x", b"y" * 8001)])
    assert not is_handshake("GET", b"/ws/detect", headers + [(b"x", b"y")] * 100)
    assert not is_handshake("GET", b"/ws/detect?" + b"x" * 8000, headers)


def test_idle_websocket_gives_way_to_a_new_client(models: Repository) -> None:
    with listening(models, max_connections=2) as port, opened(port) as first, opened(port) as second:
        answer_to(first)  # now the other one is silent for longest
        assert exchange(port, get("/health/live")).startswith(b"HTTP/1.1 200")
        assert answer_to(first)["frame"] == 1
        assert receive_all(second) == b""


def test_server_that_stops_says_so(models: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "CLOSE_SECONDS", 0.1)
    with listening(models) as port:
        connection = connect(port)
        connection.sendall(get("/ws/detect", "GET", *HANDSHAKE))
        read_head(connection)
        answer_to(connection)
    with connection:
        assert close_code(connection) == 1012


def send_slowly(connection: socket.socket, data: bytes) -> None:
    """Send the same bytes every 10 ms for up to 10 s."""
    for _ in range(1000):
        connection.sendall(data)
        time.sleep(0.01)


def test_client_that_neither_reads_nor_closes_is_cut_off(models: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "CLOSE_SECONDS", 0.1)
    with listening(models, keep_alive_timeout=0.2) as port, opened(port) as connection:
        assert close_code(connection) == 1000
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_slowly(connection, frame(PING, bytes(100)) * 1000)
