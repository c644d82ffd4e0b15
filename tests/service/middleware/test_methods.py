"""HEAD and OPTIONS on every route."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

ROUTES = (
    "/", "/docs", "/openapi.json", "/models", "/models/toy", "/health/live", "/health/ready", "/playground/app.js",
    "/playground/samples/index.json", "/models/unknown",
)  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
def test_head_equals_get_without_a_body(client: TestClient, route: str) -> None:
    got, head = client.get(route), client.head(route)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize("route", ROUTES)
def test_options_lists_the_methods(client: TestClient, route: str) -> None:
    response = client.options(route)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


def test_options_of_detect_and_of_the_server(client: TestClient) -> None:
    assert client.options("/detect").headers["allow"] == "POST, OPTIONS"
    assert client.head("/detect").status_code == 405
    assert client.get("/detect").headers["allow"] == "POST, OPTIONS"
    assert client.patch("/models").headers["allow"] == "GET, HEAD, OPTIONS"
    assert client.options("/nothing").status_code == 404


def test_preflight_is_not_allowed_by_default(client: TestClient) -> None:
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    response = client.options("/detect", headers=headers)
    assert response.status_code == 204
    assert not [name for name in response.headers if name.startswith("access-control")]
