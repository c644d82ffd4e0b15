"""API keys of requests: where they are accepted, what they open, what refusals explain."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.access.key_file import add_key
from service.middleware.auth import AccessMiddleware
from tests.service.app_client import RawRequest, check_problem, png, serving
from tests.service.conftest import flat

TOKENS: dict[str, str] = {}
UNKNOWN: list[dict[str, str]] = [{}, {"X-Api-Key": "lineage_unknown"}]


@pytest.fixture(scope="module")
def guarded(toy_package: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    TOKENS["detect"] = add_key(path, "user", ("detect",))
    TOKENS["admin"] = add_key(path, "operator", ("admin",))
    TOKENS["expired"] = add_key(path, "old", ("admin",), timedelta(seconds=-1))
    origin = "https://app.example"
    with serving(Repository(toy_package.path.parents[1]), keys=path, cors_origins=origin) as client:
        yield client


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[name]}"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/model-cards",
        "/openapi.json",
        "/health/live",
        "/health/ready",
        "/playground/app.js",
        "/playground/samples/index.json",
    ],
)
def test_pages_and_health_are_open(guarded: TestClient, path: str) -> None:
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/models", "/metrics", "/admin", "/admin/models", "/shadow/report", "/nothing", "/healthy", "/docs/x", "//"],
)
def test_everything_else_needs_a_key(guarded: TestClient, path: str) -> None:
    answer = guarded.get(f"http://testserver{path}")
    detail = check_problem(answer, 401, "Unauthorized")
    assert detail == "expected an API key as Authorization: Bearer KEY or X-Api-Key: KEY; got none"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", ["detect", "admin"])
@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
def test_key_is_accepted_in_both_headers(guarded: TestClient, name: str, header: str) -> None:
    value = TOKENS[name] if header == "X-Api-Key" else f"bearer  {TOKENS[name]}"
    answer = guarded.post("/detect", content=png(flat(9)), headers={header: value, "Content-Type": "image/png"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"X-Api-Key": "lineage_wrong"}, "the one sent is unknown or expired"),
        ({"X-Api-Key": ""}, "the one sent is unknown or expired"),
        ({"X-Api-Key": "\xff\xfe"}, "the one sent is unknown or expired"),
        ({"Authorization": "Basic dXNlcjpwYXNz"}, "got none"),
        ({"Authorization": "Bearer"}, "the one sent is unknown or expired"),
        ({"Authorization": "Bearer a", "X-Api-Key": "b"}, "got two different keys"),
    ],
)
def test_other_credentials_are_refused(guarded: TestClient, headers: dict[str, str], reason: str) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    assert reason in check_problem(guarded.get("/models", headers=encoded), 401, "Unauthorized")


def test_expired_key_and_key_in_the_query_are_refused(guarded: TestClient) -> None:
    check_problem(guarded.get("/models", headers=bearer("expired")), 401, "Unauthorized")
    for name in ("api_key", "key", "access_token"):
        check_problem(guarded.get("/models", params={name: TOKENS["admin"]}), 401, "Unauthorized")


def test_credentials_for_a_proxy_do_not_hide_the_key(guarded: TestClient) -> None:
    headers = {"Authorization": "Basic dXNlcjpwYXNz", "X-Api-Key": TOKENS["detect"]}
    assert guarded.get("/models", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/admin", "/admin/models", "/shadow.json", "/shadow/x"])
def test_scope_detect_does_not_open_administration(guarded: TestClient, path: str) -> None:
    answer = guarded.get(path, headers=bearer("detect"))
    assert check_problem(answer, 403, "Forbidden") == "expected a key with the scope admin; user has detect"
    assert guarded.get(path, headers=bearer("admin")).status_code not in (401, 403)


@pytest.mark.parametrize("name", ["detect", "admin"])
def test_metrics_accept_every_key(guarded: TestClient, name: str) -> None:
    assert guarded.get("/metrics", headers=bearer(name)).status_code == 200


OPEN_OPERATIONS = ["/health/live", "/health/ready", "/label-studio/health", "/v2/health/live", "/v2/health/ready"]


def test_every_operation_of_every_protocol_needs_a_key(guarded: TestClient) -> None:
    """An empty JSON object is no valid body for some: a key in it would be read first."""
    opened = []
    for path, operations in guarded.app.openapi()["paths"].items():  # type: ignore[attr-defined]
        address = path.format(name="toy", version=1, alias="a", model="toy", number=1)
        for method in operations:
            body = {"model_id": "toy", "image": {"value": ""}}
            statuses = {guarded.request(method, address, headers=headers, json=body).status_code for headers in UNKNOWN}
            opened += [] if statuses == {401} else [path]
    assert sorted(opened) == OPEN_OPERATIONS


@pytest.mark.parametrize(
    "name", ["model", "info", "infer", "v1", "v2", "doods", "health", "playground", "label-studio"]
)
@pytest.mark.parametrize("end", ["", "%0A", "/", "//"])
def test_hosted_form_with_a_prefix_of_another_protocol_needs_a_key(guarded: TestClient, name: str, end: str) -> None:
    answer = guarded.post(f"/{name}/1{end}", content=b"QUFB", follow_redirects=False)
    assert answer.status_code in (401, 404, 405)
    assert "toy" not in answer.text  # the names of models


def test_route_that_forgets_the_key_in_the_body_is_closed(guarded: TestClient) -> None:
    async def forgetful(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("secret")(scope, receive, send)

    keys = guarded.app_state["service"].access.keys
    client = TestClient(AccessMiddleware(forgetful, keys))
    answer = client.get("/v1/new")
    assert (answer.status_code, "secret" in answer.text) == (401, False)
    assert client.get("/v1/new", headers=bearer("detect")).text == "secret"


def test_administration_without_keys_is_refused(client: TestClient) -> None:
    assert "--keys FILE" in check_problem(client.get("/admin/models"), 403, "Forbidden")
    assert client.get("/models").status_code == 200


def test_refusal_comes_before_the_body_is_read(guarded: TestClient) -> None:
    request = RawRequest(guarded, png(flat(9)))
    assert request.run() == 401
    assert request.reads == 0


def test_pages_of_listed_origins_may_send_keys_and_read_refusals(guarded: TestClient) -> None:
    origin = {"Origin": "https://app.example"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-api-key"}
    assert guarded.options("/detect", headers=origin | asked).status_code == 204
    answer = guarded.get("/models", headers=origin)
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


def test_keys_are_not_logged(guarded: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in TOKENS:
        guarded.get("/models", headers=bearer(name))
        guarded.get("/models", params={"key": TOKENS[name]})
    guarded.get("/models", headers={"X-Api-Key": "lineage_unknown"})
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert ours
    assert "lineage_" not in "".join(ours)
