"""A server with gRPC for all tests that change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository

if TYPE_CHECKING:
    from tests.service.grpc_server import GrpcServer


@pytest.fixture(scope="session")
def server(toy_package: Package) -> Iterator[GrpcServer]:
    from tests.service.grpc_server import GrpcServer

    with GrpcServer(Repository(toy_package.path.parents[1]), max_body=1 << 20, max_pending=8 << 20) as server:
        yield server.wait_until_ready()
