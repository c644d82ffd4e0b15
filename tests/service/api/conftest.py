"""A client with an admin key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from model_zoo.contract.repository import Repository
from service.access.key_file import add_key
from tests.service.app_client import serving
from tests.service.conftest import Publish
from tests.service.fake_engine import open_fake_engine

KEY_NAME = "ops"
POLICY = {
    "stable": 1,
    "canary": {"version": 2, "percent": 5.0, "sticky": "client"},
    "schema_version": 1,
}  # of a rollout


@pytest.fixture
def admin(repository: Repository, publish: Publish, tmp_path: Path) -> Iterator[TestClient]:
    """A client with an admin key, of an application with versions 1 to 3 of `toy`. It never polls by itself."""
    for _ in range(3):
        publish()
    key = add_key(tmp_path / "keys.json", KEY_NAME, ("admin",))
    with serving(repository, open_fake_engine, keys=tmp_path / "keys.json", poll=1000) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client
