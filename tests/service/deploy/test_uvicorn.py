"""The listening socket. tests/e2e/test_serve.py runs the server."""

from __future__ import annotations

import socket

import pytest

from service.deploy.uvicorn import listen
from service.settings import Settings


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


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6_address_is_logged_in_brackets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    try:
        listen(Settings(host="::1", port=0)).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert "http://[::1]:" in caplog.text
