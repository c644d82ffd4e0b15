"""The listening socket. tests/e2e/test_serve.py runs the server."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket

import pytest

from service.deploy.uvicorn import ACCEPT_LOG, _log_loop_error, _max_connections, listen
from service.settings import Settings
from service.telemetry.logs import OncePerSecond


def test_accepted_connections_have_nodelay() -> None:
    """Without it, a kept-alive connection waits 40 ms for each response sent in two writes."""
    with listen(Settings(port=0)) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_port_in_use_is_reported() -> None:
    with listen(Settings(port=0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught:
            listen(Settings(port=port))
    assert caught.value.filename == f"127.0.0.1:{port}"


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "http://localhost", "*"])
def test_address_of_another_machine_is_explained(host: str) -> None:
    with pytest.raises(OSError, match="expected --host to be an address of this machine"):
        listen(Settings(host=host, port=0))


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6_address_is_logged_in_brackets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    try:
        listen(Settings(host="[::1]", port=0)).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert "http://[::1]:" in caplog.text


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_exhausted_descriptors_are_one_line_a_second(
    number: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ACCEPT_LOG, "filters", [OncePerSecond()])
    loop = asyncio.new_event_loop()
    try:
        for _ in range(1000):
            _log_loop_error(
                loop, {"message": "socket.accept() out of system resource", "exception": OSError(number, "")}
            )
        assert len(caplog.records) < 10
        assert "ulimit -n" in caplog.text
        caplog.clear()
        _log_loop_error(loop, {"message": "something else", "exception": ValueError("x")})
        assert "something else" in caplog.text
    finally:
        loop.close()


def test_more_connections_than_descriptors_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    _max_connections(Settings(max_connections=10_000_000))
    assert "instead of 10000000: the limit of open files is" in caplog.text
