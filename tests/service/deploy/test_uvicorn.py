"""The listening socket. tests/e2e/test_serve.py runs the server."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import threading
from typing import Any

import pytest

from model_zoo.contract.package import Package
from service.deploy.uvicorn import ACCEPT_LOG, _log_loop_error, _max_connections, create_server, listen
from service.settings import Settings
from service.telemetry.logs import OncePerSecond
from tests.service.app_client import png, wait_until
from tests.service.conftest import flat
from tests.service.deploy.wire import PATIENCE, exchange, get, post


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


class Running:
    """A server in a thread of this process, to which signals are delivered by a call."""

    def __init__(self, package: Package, **settings: Any) -> None:
        options = Settings(repository=package.path.parents[1], port=0, poll=0.05, **settings)
        self.server, self._socket = create_server(options), listen(options)
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        wait_until(lambda: self.status("/health/ready") == 200)

    def status(self, target: str) -> int:
        return int(exchange(self.port, get(target)).split()[1])

    def signal(self, number: int) -> None:
        self.server.handle_exit(number, None)

    def wait(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def test_sigterm_drains_before_the_port_closes(toy_package: Package) -> None:
    running = Running(toy_package, drain_seconds=1.5)
    running.signal(signal.SIGTERM)
    assert (running.status("/health/ready"), running.status("/health/live")) == (503, 200)
    assert b"shutting down in" in exchange(running.port, get("/health/ready"))
    running.wait()
    with pytest.raises(ConnectionRefusedError):
        running.status("/health/live")


@pytest.mark.parametrize("signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,)])
def test_second_sigterm_and_ctrl_c_do_not_drain(toy_package: Package, signals: tuple[int, ...]) -> None:
    running = Running(toy_package, drain_seconds=3600)
    for number in signals:
        running.signal(number)
    running.wait()


def test_connections_close_after_an_answer_of_a_draining_server(toy_package: Package) -> None:
    running = Running(toy_package, drain_seconds=3600)
    running.signal(signal.SIGTERM)
    assert b"connection: close" in exchange(running.port, get("/health/live"), end=False)
    running.signal(signal.SIGTERM)
    running.wait()


def test_no_thread_is_left(toy_package: Package) -> None:
    before = set(threading.enumerate())
    running = Running(toy_package)
    assert b" 200 " in exchange(running.port, post(png(flat(1))))
    running.signal(signal.SIGTERM)
    running.wait()
    left = {t for t in set(threading.enumerate()) - before if t.name.startswith(("batch", "engine", "asyncio"))}
    for thread in left:
        thread.join(PATIENCE)
        assert not thread.is_alive(), thread
