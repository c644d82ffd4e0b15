"""Security headers on every kind of answer, and the policy of pages."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

DEFAULT_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGES = ("/", "/docs")


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/models", "/nothing", "/health/live", "/playground/app.js", "/metrics"]
)
def test_every_answer_has_them(client: TestClient, path: str) -> None:
    for answer in (client.get(path), client.head(path), client.options(path)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "strict-transport-security" not in answer.headers
        assert len(answer.headers.get_list("content-security-policy")) == 1


def test_hsts_is_sent_over_https_only(client: TestClient) -> None:
    answer = client.get("https://testserver/health/live")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize("path", PAGES)
def test_pages_allow_nothing_inline_and_no_other_host(client: TestClient, path: str) -> None:
    policy = client.get(path).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy


def test_data_has_the_strictest_policy(client: TestClient) -> None:
    assert client.get("/models").headers["content-security-policy"] == DEFAULT_POLICY
