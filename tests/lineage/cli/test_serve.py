"""`lineage serve` up to the moment it listens; tests/e2e runs it."""

from __future__ import annotations

import socket

import pytest

from lineage.cli.serve import _listen
from service.settings import Settings


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """A kept-alive connection whose answers come in two writes waits 40 ms for each where this is off."""
    with _listen(Settings(port=0)) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_is_told() -> None:
    with _listen(Settings(port=0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught:
            _listen(Settings(port=port))
    assert caught.value.filename == f"127.0.0.1:{port}"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_of_ipv6_is_shown_in_brackets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    try:
        _listen(Settings(host="::1", port=0)).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert "http://[::1]:" in caplog.text
