"""Request ids."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient


def test_valid_id_of_the_client_is_kept(client: TestClient) -> None:
    response = client.get("/health/live", headers={"X-Request-ID": "abc-1"})
    assert response.headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize("invalid", ["", "a b", "x" * 200, 'a"b'])
def test_invalid_id_is_replaced(client: TestClient, invalid: str) -> None:
    identity = client.get("/health/live", headers={"X-Request-ID": invalid}).headers["x-request-id"]
    assert identity != invalid
    assert len(identity) == 32
