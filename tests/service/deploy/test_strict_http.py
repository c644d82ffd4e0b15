"""Request smuggling and abuse of headers: 4xx, and never a second answer to one request (RFC 9112)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.deploy.http_protocol import LOG
from tests.service.deploy.wire import connect, exchange, get, listening, receive_all

HIDDEN = get("/models")
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@pytest.fixture(scope="module")
def port(toy_package: Package) -> Iterator[int]:
    with listening(Repository(toy_package.path.parents[1]), header_timeout=0.5, timeout=1.0) as port:
        yield port


def request(*lines: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"POST /detect HTTP/" + version, b"Host: x", *lines, b"", body])


CL = b"Content-Length: %d" % len(HIDDEN)
TE = b"Transfer-Encoding: chunked"
REFUSED = {
    "length and chunks": request(CL, TE, body=b"0\r\n\r\n" + HIDDEN),
    "chunks and length": request(TE, b"Content-Length: 5", body=b"0\r\n\r\n" + HIDDEN),
    "two lengths": request(b"Content-Length: 0", CL, body=HIDDEN),
    "list of lengths": request(b"Content-Length: 0, 5", body=HIDDEN),
    "negative length": request(b"Content-Length: -1", body=HIDDEN),
    "signed length": request(b"Content-Length: +5", body=HIDDEN),
    "hexadecimal length": request(b"Content-Length: 0x5", body=HIDDEN),
    "underscore in length": request(b"Content-Length: 1_0", body=HIDDEN),
    "huge length": request(b"Content-Length: " + b"9" * 30, body=HIDDEN),
    "length of 2^64": request(b"Content-Length: 18446744073709551616", body=HIDDEN),
    "empty length": request(b"Content-Length:", body=HIDDEN),
    "unknown coding": request(b"Transfer-Encoding: xchunked", body=HIDDEN),
    "coding twice": request(b"Transfer-Encoding: chunked, chunked", body=HIDDEN),
    "coding in two headers": request(TE, b"Transfer-Encoding: identity", body=HIDDEN),
    "identity": request(b"Transfer-Encoding: identity", CL, body=HIDDEN),
    "quoted coding": request(b'Transfer-Encoding: "chunked"', body=HIDDEN),
    "vertical tab before the coding": request(b"Transfer-Encoding: \x0bchunked", body=HIDDEN),
    "space before the colon": request(b"Transfer-Encoding : chunked", CL, body=HIDDEN),
    "tab before the colon": request(b"Content-Length\t: 0", body=HIDDEN),
    "space before the name": b"POST /detect HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n" + HIDDEN,
    "folded header": request(b"X: a\r\n b", CL, body=HIDDEN),
    "folded coding": request(b"Transfer-Encoding:\r\n chunked", CL, body=HIDDEN),
    "bare LF between headers": request(b"X: a\nTransfer-Encoding: chunked", CL, body=HIDDEN),
    "bare LF at the end": b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 0\n\n" + HIDDEN,
    "bare CR in a value": request(b"X: a\rTransfer-Encoding: chunked", CL, body=HIDDEN),
    "bare CR in the request line": b"GET /models\r HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
    "NUL in a value": request(b"X: a\x00b", body=HIDDEN),
    "NUL in a name": request(b"X\x00: a", body=HIDDEN),
    "NUL in the target": b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
    "no colon": request(b"nonsense", body=HIDDEN),
    "empty name": request(b": a", body=HIDDEN),
    "no Host": b"GET /models HTTP/1.1\r\n\r\n" + HIDDEN,
    "two Hosts": b"GET /models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + HIDDEN,
    "Host with a path": b"GET /models HTTP/1.1\r\nHost: a/b\r\n\r\n" + HIDDEN,
    "Host with a user": b"GET /models HTTP/1.1\r\nHost: a@b\r\n\r\n" + HIDDEN,
    "chunks in HTTP/1.0": request(TE, body=b"0\r\n\r\n" + HIDDEN, version=b"1.0"),
    "HTTP/2": b"GET /models HTTP/2.0\r\nHost: x\r\n\r\n" + HIDDEN,
    "HTTP/0.9": b"GET /models\r\n\r\n" + HIDDEN,
    "lower-case http": b"GET /models http/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
    "two spaces in the request line": b"GET  /models HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
    "huge header": request(b"X: " + b"a" * 20_000, body=HIDDEN),
    "huge target": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
    "many headers": request(*[b"X: a"] * 5000, body=HIDDEN),
    "negative chunk": request(TE, body=b"-1\r\n" + HIDDEN),
    "signed chunk": request(TE, body=b"+1\r\na\r\n0\r\n\r\n" + HIDDEN),
    "prefixed chunk": request(TE, body=b"0x1\r\na\r\n0\r\n\r\n" + HIDDEN),
    "huge chunk": request(TE, body=b"f" * 30 + b"\r\n" + HIDDEN),
    "chunk line with a bare LF": request(TE, body=b"1\na\r\n0\r\n\r\n" + HIDDEN),
    "chunk that is too long": request(TE, body=b"1\r\nab\r\n0\r\n\r\n" + HIDDEN),
    "bare LF after the last chunk": request(TE, body=b"0\r\n\n" + HIDDEN),
    "bare LF after a trailer": request(TE, body=b"0\r\nX: a\n\r\n" + HIDDEN),
    "two bare LFs after a trailer": request(TE, body=b"0\r\nX: a\n\n" + HIDDEN),
    "LF hidden in a chunk extension": request(TE, body=b"1;x\ny\r\na\r\n0\r\n\r\n" + HIDDEN),
}


@pytest.mark.parametrize("name", REFUSED)
def test_ambiguous_request_gets_one_refusal(port: int, name: str) -> None:
    received = exchange(port, REFUSED[name], end=False)
    statuses = [int(status) for status in STATUS.findall(received)]
    assert len(statuses) == 1, f"{name}: the hidden request was answered: {statuses}"
    assert 400 <= statuses[0] < 500
    assert b"x-content-type-options: nosniff" in received


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (request(CL, body=HIDDEN) + HIDDEN, [415, 200]),  # refused before the body, which is no request
        (request(TE, body=b"%x;name=value\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)) + HIDDEN, [415, 200]),
        (request(TE, body=b"0\r\nX-Trailer: GET\r\n\r\n") + HIDDEN, [415, 200]),
        (request(b"Transfer-Encoding: CHUNKED", body=b"0\r\n\r\n") + HIDDEN, [415, 200]),
        (request(CL, CL, body=HIDDEN), [400]),  # equal lengths
        (request(CL, b"Upgrade: h2c", b"Connection: upgrade", body=HIDDEN) + HIDDEN, [415, 200]),
        (request(TE, b"Upgrade: h2c", b"Connection: upgrade", body=b"1\r\na\r\n0\r\n\r\n") + HIDDEN, [415, 200]),
        (get("x:80", "CONNECT") + HIDDEN, [404, 200]),
        (get("/models", "GET", "Expect: nonsense", "Upgrade: h2c", "Connection: upgrade") + HIDDEN, [200, 200]),
        (get("/models", "GET", f"Content-Length: {len(HIDDEN)}") + HIDDEN + HIDDEN, [200, 200]),
        (get("http://other.example/models") + HIDDEN, [200, 200]),  # its host counts, not the header (section 3.2.2)
        (HIDDEN + b"nonsense\r\n\r\n" + HIDDEN, [200, 400]),
    ],
)
def test_valid_but_uncommon_requests_stay_in_step(port: int, sent: bytes, statuses: list[int]) -> None:
    assert [int(status) for status in STATUS.findall(exchange(port, sent))] == statuses


def test_long_head_is_refused_however_it_arrives(port: int) -> None:
    whole = exchange(port, REFUSED["huge header"], end=False)
    endless = exchange(port, b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000, end=False)
    for received in (whole, endless):
        assert received.startswith(b"HTTP/1.1 431 Request Header Fields Too Large")
        assert b"expected a head of at most 16384 bytes" in received


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b"0\r\nX: a\r\n\r\n"])
@pytest.mark.parametrize("data", [b"a\r", b"\n", b"\r\n"])
def test_end_of_chunks_is_found_in_single_bytes(port: int, data: bytes, end: bytes) -> None:
    chunks = request(TE, body=b"%x\r\n%b\r\n%b" % (len(data), data, end))
    with connect(port) as connection:
        for byte in chunks:
            connection.sendall(bytes([byte]))
        connection.sendall(get("/models", "GET", "Connection: close"))
        assert [int(status) for status in STATUS.findall(receive_all(connection))] == [415, 200]


@pytest.mark.parametrize("body", [b"0\r\nX: ", b"1;x="])
def test_trailers_and_extensions_of_chunks_are_limited(port: int, body: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(get("/detect", "POST", "Content-Type: image/png", "Expect: 100-continue", TE.decode()))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")  # the head has been parsed
        connection.sendall(body + b"a" * 20_000)
        assert receive_all(connection).startswith(b"HTTP/1.1 431 ")


def test_trailers_are_no_headers(port: int) -> None:
    sent = get("/detect", "POST", "Content-Type: image/png", TE.decode()) + b"0\r\nX-Request-Timeout: none\r\n\r\n"
    assert b"got an empty file" in exchange(port, sent)


@pytest.mark.parametrize("line", [b"X-Api-Key : lineage_secret", b"X-Api-Key: lineage_secret\x00", b"lineage_secret"])
def test_log_of_malformed_requests_has_no_key(
    port: int, line: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOG, "filters", [])
    caplog.set_level(logging.DEBUG)
    exchange(port, request(line), end=False)
    exchange(port, b"GET /?key=lineage_secret x HTTP/1.1\r\n\r\n", end=False)
    assert "malformed HTTP" in caplog.text
    assert "lineage_secret" not in caplog.text
