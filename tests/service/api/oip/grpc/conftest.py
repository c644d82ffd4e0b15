"""A server process with gRPC for all tests that change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from model_zoo.contract.package import Package
from tests.e2e.server import Server

if TYPE_CHECKING:
    from tests.service.grpc_server import GrpcClient

LISTENING = re.compile(r"listening on grpc://(\S+)")


@pytest.fixture(scope="session")
def process(toy_package: Package) -> Iterator[Server]:
    limits = {"max_body": 1 << 20, "max_pending": 8 << 20}
    with Server(toy_package.path.parents[1], grpc_port=0, log_level="debug", **limits) as process:
        yield process.wait_until_ready()


@pytest.fixture(scope="session")
def server(process: Server) -> Iterator[GrpcClient]:
    from tests.service.grpc_server import GrpcClient

    with GrpcClient(process.wait_for_log(LISTENING)[1], process.client) as client:
        yield client
