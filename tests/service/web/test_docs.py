"""GET /docs and /openapi.json."""

from __future__ import annotations

from starlette.testclient import TestClient


def test_docs_load_nothing_from_other_hosts(client: TestClient) -> None:
    response = client.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    assert "/detect" in response.text
    assert "src=" not in response.text
    assert "https://" not in response.text


def test_openapi_describes_every_route(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    for path in ("/detect", "/models", "/models/{name}", "/health/live", "/health/ready", "/metrics", "/admin/refresh"):
        assert path in described["paths"]
    assert "multipart/form-data" in described["paths"]["/detect"]["post"]["requestBody"]["content"]


def test_problems_are_documented_with_their_media_type(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert "Problem" in described["components"]["schemas"]
    for methods in described["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if status.startswith("2") or "Health" in str(response):
                    continue
                assert list(response["content"]) == ["application/problem+json"], (operation["operationId"], status)
