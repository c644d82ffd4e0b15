"""The port of gRPC: binding, TLS, the end of the server."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

grpc = pytest.importorskip("grpc", reason="needs the extra grpc")

from grpc import StatusCode

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.deploy import tls
from service.deploy.uvicorn import create_server, listen
from service.settings import Settings
from tests.service.app_client import png, wait_until
from tests.service.conftest import flat
from tests.service.deploy.certificates import make_certificate, needs_openssl
from tests.service.fake_engine import GatedEngines
from tests.service.grpc_server import PATIENCE, GrpcServer, files_request, refused

REQUEST = files_request(png(flat(255))).SerializeToString()


def test_address_is_logged(toy_package: Package, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with GrpcServer(Repository(toy_package.path.parents[1])) as server:
        assert f"listening on grpc://{server.address}" in caplog.text


def test_port_in_use_is_an_error(toy_package: Package) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(repository=toy_package.path.parents[1], port=0, grpc_port=port)
        with listen(settings) as bound, pytest.raises(OSError, match="in use; choose another --grpc-port") as caught:
            create_server(settings).run(sockets=[bound])
        assert caught.value.filename == f"127.0.0.1:{port}"


class Slow:
    """A server with one call that its engine holds back."""

    def __init__(self, package: Package, **settings: Any) -> None:
        self.engines = GatedEngines()
        self.engines.gate.set()
        options = {"warm_up": False, "verify_on_load": False, "workers": 1} | settings
        self.server = GrpcServer(Repository(package.path.parents[1]), self.engines, **options)

    def __enter__(self) -> Slow:
        self.server.__enter__().wait_until_ready()
        self.engines.gate.clear()
        self.call = self.server.call("ModelInfer", REQUEST)
        wait_until(lambda: self.engines.started)
        return self

    def __exit__(self, *_: object) -> None:
        self.engines.gate.set()
        self.server.__exit__()


def test_accepted_calls_are_answered_at_the_end(toy_package: Package) -> None:
    with Slow(toy_package) as slow:
        idle = slow.server.stream(blocked())
        sent = slow.server.stream(iter([files_request(png(flat(255)), id="1")]))
        wait_until(lambda: 'lineage_queue_images{model="toy",version="1"} 1.0' in slow.server.http.get("/metrics").text)
        slow.server.signal(signal.SIGTERM)
        wait_until(lambda: refused_to_connect(slow.server.address))
        slow.engines.gate.set()
        assert slow.call.result()
        assert next(sent).infer_response.id == "1"
        with pytest.raises(grpc.RpcError) as caught:
            next(idle)
        assert caught.value.code() == StatusCode.UNAVAILABLE
        assert caught.value.details() == "the server is shutting down; open a new stream"
        slow.server.wait()


def blocked() -> Iterator[Any]:
    """Yield nothing, and do not end."""
    threading.Event().wait(PATIENCE / 3)
    yield from ()


def refused_to_connect(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as connection:
        return connection.connect_ex((host, int(port))) != 0


def test_second_interrupt_waits_for_nothing(toy_package: Package) -> None:
    with Slow(toy_package) as slow:
        slow.server.signal(signal.SIGINT)
        slow.server.signal(signal.SIGINT)
        assert refused(slow.call)[0] in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED)
        slow.engines.gate.set()
        slow.server.wait()


@needs_openssl
def test_certificate_is_that_of_http_and_followed(
    toy_package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(tls, "POLL", 0.01)
    files, renewed = make_certificate(tmp_path), make_certificate(tmp_path, "renewed")
    options = {"ssl_certfile": files[0], "ssl_keyfile": files[1]}
    with GrpcServer(Repository(toy_package.path.parents[1]), **options) as server:
        assert f"listening on grpcs://{server.address}" in caplog.text
        first = files[0].read_bytes()
        assert is_live(server.address, first)
        for old, new in zip(files, renewed, strict=True):
            shutil.copy(new, old)
        wait_until(lambda: "new TLS certificate in force" in caplog.text)
        assert is_live(server.address, files[0].read_bytes())
        assert not is_live(server.address, first)


def is_live(address: str, certificate: bytes) -> bool:
    """Return whether a server answers a client that trusts one certificate."""
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(certificate)) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerLive").future(b"", timeout=PATIENCE)
        error = call.exception()
        assert error is None or re.search("certificate|handshake|SSL", str(error.details()), re.IGNORECASE)
        return error is None


def test_open_calls_are_limited(toy_package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.deploy.grpc_server.MAX_CALLS", 3)
    with GrpcServer(Repository(toy_package.path.parents[1])) as server:
        server.wait_until_ready()
        with grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) as other:
            watches = [c.unary_stream("/grpc.health.v1.Health/Watch")(b"") for c in (server.channel, other) * 2]
            codes = [first_code(watch) for watch in watches]
            assert StatusCode.RESOURCE_EXHAUSTED in codes
            assert StatusCode.OK in codes
            for watch in watches:
                watch.cancel()
            wait_until(lambda: server.call("ServerLive", b"").exception() is None)


def first_code(call: Any) -> StatusCode:
    """Return OK if a stream has an answer, else its code."""
    try:
        next(call)
    except grpc.RpcError as error:
        return error.code()
    return StatusCode.OK
