"""TLS: clear errors at start, answers to plain HTTP, limits that hold in and after the handshake."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect as websocket

from model_zoo.contract.package import Package
from service.deploy import tls, uvicorn
from service.deploy.tls import load_certificate
from service.settings import Settings, SettingsError
from tests.service.app_client import png
from tests.service.conftest import flat
from tests.service.deploy.certificates import make_certificate, needs_openssl
from tests.service.deploy.wire import connect, exchange, get, post, receive_all, receive_response

pytestmark = needs_openssl
LIVE = get("/health/live", "GET", "Connection: close")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def port(toy_package: Package, files: tuple[Path, Path]) -> Iterator[int]:
    """A server with four connections and short limits."""
    limits: dict[str, Any] = {"header_timeout": 0.5, "keep_alive_timeout": 0.5, "timeout": 5.0, "max_connections": 4}
    models = toy_package.path.parents[1]
    options = Settings(repository=models, port=0, ssl_certfile=files[0], ssl_keyfile=files[1], **limits)
    server, bound = uvicorn.create_server(options), uvicorn.listen(options)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    number = int(bound.getsockname()[1])
    while b"200 OK" not in _ask(number, files[0], get("/health/ready", "GET", "Connection: close")):
        time.sleep(0.01)
    yield number
    server.should_exit = True
    thread.join()
    bound.close()


def secure(port: int, certificate: Path) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(certificate))
    return context.wrap_socket(connect(port), server_hostname="127.0.0.1")


def _ask(port: int, certificate: Path, request: bytes) -> bytes:
    with secure(port, certificate) as connection:
        connection.sendall(request)
        return receive_all(connection)


def test_requests_are_answered_with_hsts(port: int, files: tuple[Path, Path]) -> None:
    with secure(port, files[0]) as connection:
        connection.sendall(get("/health/live"))
        answer = receive_response(connection)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"strict-transport-security: max-age=31536000" in answer
        connection.sendall(post(png(flat(9)), "/detect", "image/png", "Connection: close"))
        assert b'"detections"' in receive_all(connection)
        assert connection.version() in ("TLSv1.2", "TLSv1.3")


def test_websockets_are_answered_and_closed_with_a_reason(port: int, files: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(cafile=str(files[0]))
    with websocket(f"wss://127.0.0.1:{port}/ws/detect", ssl=context, proxy=None) as camera:
        camera.send(png(flat(200)))
        assert '"detections"' in str(camera.recv())
        with pytest.raises(ConnectionClosedOK, match=r"1000.*no message for 0\.5 s"):
            camera.recv()


def test_renewed_certificate_is_followed_and_half_a_renewal_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "POLL", 0.01)
    files = make_certificate(tmp_path)
    renewed = [path.read_bytes() for path in make_certificate(tmp_path, "renewed")]

    async def run() -> None:
        certificate = tls.Certificate(*files)
        before = certificate.context
        watching = asyncio.create_task(certificate.watch())
        files[0].write_bytes(renewed[0])
        await asyncio.sleep(0.1)
        assert certificate.context is before
        files[1].write_bytes(renewed[1])
        async with asyncio.timeout(20):
            while certificate.context is before:
                await asyncio.sleep(0.01)
        watching.cancel()

    asyncio.run(run())


def test_old_versions_of_tls_are_refused(files: tuple[Path, Path]) -> None:
    assert load_certificate(*files).minimum_version == ssl.TLSVersion.TLSv1_2


def test_plain_http_is_told_to_use_https(port: int) -> None:
    head, _, body = exchange(port, LIVE, end=False).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert json.loads(body)["detail"] == "plain http://: this server speaks https://"


@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
def test_stalled_handshake_is_cut_off(port: int, sent: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(sent)
        connection.settimeout(10)
        with suppress(ConnectionResetError):
            assert connection.recv(100) == b""


def test_stalled_handshakes_leave_room_for_others(port: int, files: tuple[Path, Path]) -> None:
    stalled = [connect(port) for _ in range(12)]
    try:
        with secure(port, files[0]) as connection:
            connection.sendall(LIVE)
            assert receive_all(connection).startswith(b"HTTP/1.1 200 OK")
    finally:
        for other in stalled:
            other.close()


def test_slow_head_is_refused_after_the_handshake(port: int, files: tuple[Path, Path]) -> None:
    with secure(port, files[0]) as connection:
        connection.sendall(LIVE[:30])
        assert receive_response(connection).startswith(b"HTTP/1.1 408")


def test_refusal_reaches_a_client_that_is_still_sending(port: int, files: tuple[Path, Path]) -> None:
    with secure(port, files[0]) as connection:
        connection.sendall(post(bytes(1 << 20), "/detect?model=unknown")[: 1 << 19])
        assert receive_response(connection).startswith(b"HTTP/1.1 404")


def test_garbage_ends_the_connection_only(port: int, files: tuple[Path, Path]) -> None:
    with connect(port) as connection:
        connection.sendall(b"\x16\x03\x01" + b"\xff" * 1000)
        connection.settimeout(10)
        with suppress(ConnectionResetError):
            receive_all(connection)
    with secure(port, files[0]) as other:
        other.sendall(LIVE)
        assert receive_all(other).startswith(b"HTTP/1.1 200 OK")


def test_mistakes_are_explained(files: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = files
    _, other = make_certificate(tmp_path, "other")
    protected = make_certificate(tmp_path, "protected", password="secret")
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    for wrong, reason in (
        ((tmp_path / "none.pem", key), "--ssl-certfile: expected a PEM file; there is no file"),
        ((certificate, tmp_path / "none.key"), "--ssl-keyfile: expected a PEM file; there is no file"),
        ((certificate, None), "expected a certificate and its private key in PEM"),
        ((junk, key), "expected a certificate and its private key in PEM"),
        ((certificate, other), "the key is not the one of the certificate"),
        (protected, "has a password; expected a key without one"),
    ):
        with pytest.raises(SettingsError) as caught:
            load_certificate(*wrong)
        assert reason in str(caught.value)
    with pytest.raises(SettingsError, match="needs ssl_certfile"):
        Settings(ssl_keyfile=key)


def test_log_names_the_scheme(files: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    uvicorn.listen(Settings(port=0, ssl_certfile=files[0], ssl_keyfile=files[1])).close()
    assert "listening on https://127.0.0.1:" in caplog.text


def test_listening_beyond_loopback_without_keys_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    uvicorn.listen(Settings(host="0.0.0.0", port=0)).close()
    assert "set --keys" in caplog.text
    caplog.clear()
    uvicorn.listen(Settings(host="0.0.0.0", port=0, keys=Path("keys.json"))).close()
    uvicorn.listen(Settings(host="localhost", port=0)).close()
    assert "set --keys" not in caplog.text
