"""Requests of pages from other origins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from tests.service.app_client import check_problem, detect, png, serving
from tests.service.conftest import flat

ORIGIN = "https://app.example"


@pytest.fixture(scope="module")
def open_client(toy_package: Package) -> Iterator[TestClient]:
    settings = {"cors_origins": f"{ORIGIN}/, http://b.example:80", "cors_headers": "X-Key", "cors_max_age": 60}
    with serving(Repository(toy_package.path.parents[1]), **settings) as client:
        yield client


def preflight(client: TestClient, origin: str, headers: str = "content-type") -> Response:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": headers}
    return client.options("/detect", headers={"Origin": origin, **asked})


@pytest.mark.parametrize("origin", [ORIGIN, "http://b.example"])
def test_preflight_of_a_listed_origin_is_allowed(open_client: TestClient, origin: str) -> None:
    response = preflight(open_client, origin, "content-type, x-key")
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == origin
    assert "POST" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-max-age"] == "60"


def test_listed_origins_may_reach_private_networks(open_client: TestClient) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Private-Network": "true"}
    response = open_client.options("/detect", headers={"Origin": ORIGIN, **asked})
    assert response.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize(
    ("origin", "headers", "fault"),
    [("https://other.example", "content-type", "origin"), (ORIGIN, "x-other", "headers")],
)
def test_other_preflights_are_refused(open_client: TestClient, origin: str, headers: str, fault: str) -> None:
    assert f"Disallowed CORS {fault}" in check_problem(preflight(open_client, origin, headers), 400, "Bad request")


def test_answers_and_problems_are_readable_by_the_page(open_client: TestClient) -> None:
    open_client.headers["Origin"] = ORIGIN
    for response in (open_client.get("/models"), detect(open_client, png(flat(1)), model="unknown")):
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert "X-Request-Id" in response.headers["access-control-expose-headers"]


def test_listed_origins_may_read_the_timing(open_client: TestClient) -> None:
    listed = open_client.get("/models", headers={"Origin": ORIGIN}).headers
    assert listed["timing-allow-origin"] == ORIGIN
    assert "Server-Timing" in listed["access-control-expose-headers"]
    assert "timing-allow-origin" not in open_client.get("/models", headers={"Origin": "https://other.example"}).headers
