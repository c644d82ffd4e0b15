"""The application of a replica, without Ray."""

from __future__ import annotations

import asyncio

import pytest
from starlette.testclient import TestClient

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.deploy.ray import server
from service.deploy.ray.options import RaySettings
from service.deploy.ray.server import NotReady, Server
from tests.service.app_client import detect, png
from tests.service.conftest import flat


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "start_replica", lambda settings: settings)


def replica_of(repository: Repository) -> tuple[Server, TestClient]:
    replica = Server(RaySettings(repository=repository.root, poll=60))
    return replica, TestClient(replica.__serve_build_asgi_app__())


def test_a_started_replica_has_its_models(toy: Package, repository: Repository) -> None:
    replica, client = replica_of(repository)
    with client:
        answer = detect(client, png(flat(200)))
        assert answer.status_code == 200
        assert "x-request-id" not in answer.headers  # the proxy adds it
        asyncio.run(replica.check_health())


def test_a_replica_without_models_states_what_is_missing(repository: Repository) -> None:
    replica, client = replica_of(repository)
    with client, pytest.raises(NotReady, match="does not exist; publish one"):
        asyncio.run(replica.check_health())
