"""A real server with the toy model, and scripted ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from model_zoo.contract.package import Package
from service.deploy.uvicorn import create_server, listen
from service.settings import Settings
from tests.e2e.server import Server
from tests.lineage.client.scripted_server import Scripted, scripted_server
from tests.service.conftest import toy_package

__all__ = ["scripted", "toy_package", "url"]


@pytest.fixture(scope="session")
def url(toy_package: Package) -> Iterator[str]:
    """The address of a server of the toy model. It accepts four files in a request.

    It is a process of its own: event loops of gRPC in this process can keep others from ending.
    """
    with Server(toy_package.path.parents[1], max_files=4) as server:
        yield f"http://127.0.0.1:{server.wait_until_ready().port}"


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A server that answers as tests script it."""
    with scripted_server() as server:
        yield server


@contextmanager
def tls_server(package: Package, certificate: Path, key: Path) -> Iterator[int]:
    """Run a server with TLS and yield its port. It may not be ready."""
    options = Settings(repository=package.path.parents[1], port=0, ssl_certfile=certificate, ssl_keyfile=key)
    server, bound = create_server(options), listen(options)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        yield int(bound.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        bound.close()
