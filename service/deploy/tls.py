"""TLS: the certificate, and connections that are counted and timed from their first byte."""

from __future__ import annotations

import asyncio
import logging
import ssl
from asyncio.sslproto import SSLProtocol
from pathlib import Path
from typing import Any, Final

from service.api.errors import BadRequest
from service.deploy.connections import Connections
from service.deploy.http_protocol import ProblemProtocol
from service.settings import SettingsError

LOG: Final = logging.getLogger(__name__)
POLL: Final = 2.0
TLS_HANDSHAKE: Final = 0x16  # first byte of a TLS connection (RFC 8446, section 5.1)


def load_certificate(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return the TLS context of a server: TLS 1.2 or newer, HTTP/1.1.

    Raises:
        SettingsError: a file is missing or no PEM file, the key does not fit, or it needs a password.
    """

    def refuse_password() -> str:
        raise SettingsError(f"--ssl-keyfile: {key or certificate} has a password; expected a key without one")

    for name, path in (("certfile", certificate), ("keyfile", key)):
        if path and not path.is_file():
            raise SettingsError(f"--ssl-{name}: expected a PEM file; there is no file {path}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, refuse_password)
    except ssl.SSLError as error:
        raise SettingsError(f"--ssl-certfile, --ssl-keyfile: {_explain(error)} ({certificate}, {key})") from error
    except OSError as error:
        raise SettingsError(f"--ssl-certfile, --ssl-keyfile: {error.strerror} ({certificate}, {key})") from error
    return context


def _explain(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is not the one of the certificate"
    return "expected a certificate and its private key in PEM"


class Certificate:
    """The TLS context in force, which follows its files. Belongs to the event loop."""

    def __init__(self, certificate: Path, key: Path | None) -> None:
        """Load the files.

        Raises:
            SettingsError: see `load_certificate`.
        """
        self._files = certificate, key
        self._seen = self._stamp()
        self.context = load_certificate(certificate, key)
        """Context of new connections."""

    async def watch(self) -> None:
        """Follow the files until cancelled. A pair that does not fit, such as half a renewal, changes nothing."""
        while True:
            await asyncio.sleep(POLL)
            stamp = await asyncio.to_thread(self._stamp)
            if stamp == self._seen:
                continue
            self._seen = stamp
            try:
                self.context = await asyncio.to_thread(load_certificate, *self._files)
            except SettingsError as error:
                LOG.error("TLS certificate unchanged: %s", error)
            else:
                LOG.info("new TLS certificate in force: %s", self._files[0])

    def _stamp(self) -> list[tuple[int, int]]:
        """Return what differs after a change of the files, or nothing if one is missing."""
        try:
            states = [path.stat() for path in self._files if path]
        except OSError:
            return []
        return [(state.st_ctime_ns, state.st_ino) for state in states]


class TLSConnection(asyncio.BufferedProtocol):
    """Looks at the first byte of a connection: begins TLS, or explains to plain HTTP that it is missing.

    asyncio knows a connection only after its handshake. Those that stall in it would not be counted.
    """

    def __init__(
        self, protocol: ProblemProtocol, context: ssl.SSLContext, connections: Connections, seconds: float
    ) -> None:
        """Serve `protocol` after a handshake that may take `seconds`."""
        self._protocol, self._context, self._open = protocol, context, connections
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + seconds
        self._first = bytearray(1)
        self._tls: SSLProtocol | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, and wait for its first byte."""
        self._transport = transport
        self._protocol.transport = transport  # until the handshake, closing it closes the connection
        self._timer = self._loop.call_at(self._deadline, transport.abort)
        if self._open.add(self._protocol):
            self._open.set_waiting(self._protocol, True)
            self._protocol.connections.add(self._protocol)
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self._timer.cancel()
        self._open.discard(self._protocol)
        self._protocol.connections.discard(self._protocol)
        if self._tls:
            self._tls.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        """Return a buffer of one byte, then that of TLS."""
        return self._tls.get_buffer(sizehint) if self._tls else self._first

    def buffer_updated(self, nbytes: int) -> None:
        """Process what has arrived."""
        if self._tls:
            self._tls.buffer_updated(nbytes)
            return
        self._timer.cancel()
        if self._first[0] == TLS_HANDSHAKE:
            self._begin_tls()
        else:
            self._transport.set_protocol(self._protocol)
            self._protocol.connection_made(self._transport)
            self._protocol.refuse(BadRequest("plain http://: this server speaks https://"))

    def eof_received(self) -> None:
        """Close the connection, after what TLS still has to send."""
        if self._tls:
            self._tls.eof_received()

    def pause_writing(self) -> None:
        """Stop the output of TLS."""
        if self._tls:
            self._tls.pause_writing()

    def resume_writing(self) -> None:
        """Continue the output of TLS."""
        if self._tls:
            self._tls.resume_writing()

    def _begin_tls(self) -> None:
        seconds = max(self._deadline - self._loop.time(), 0.001)
        options: Any = {"waiter": None, "server_side": True, "ssl_handshake_timeout": seconds}
        self._tls = SSLProtocol(self._loop, self._protocol, self._context, **options)
        self._tls.connection_made(self._transport)
        self._tls.get_buffer(1)[:1] = self._first
        self._tls.buffer_updated(1)
