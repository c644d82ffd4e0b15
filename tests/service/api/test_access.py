"""Keys in the body of a request: checked by the route, with the same limits as keys in headers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request

from service.access.access import Access
from service.access.key_file import add_key
from service.access.keys import Keys
from service.access.rate_limit import RateLimit
from service.api.access import IN_BODY, check_body_key, expect_key
from service.api.context import CLIENT
from service.api.errors import RateLimited, Unauthorized
from service.api.protocols import BY_NAME


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    return {"detect": add_key(tmp_path / "keys.json", "camera", ("detect",))}


def request(tmp_path: Path, limit: RateLimit | None = None) -> Request:
    access = Access(Keys(tmp_path / "keys.json"), limit)
    scope: dict[str, Any] = {
        "type": "http",
        "state": {"service": SimpleNamespace(access=access)},
        IN_BODY: BY_NAME["deepstack"],
    }
    return cast(Request, Request(scope))


def test_key_of_the_body_names_the_client(tmp_path: Path, tokens: dict[str, str]) -> None:
    asked = request(tmp_path)
    check_body_key(asked, tokens["detect"])
    assert asked.scope[CLIENT] == "camera"


@pytest.mark.parametrize("token", [None, "", "unknown"])
def test_missing_or_unknown_key_is_refused(tmp_path: Path, tokens: dict[str, str], token: str | None) -> None:
    with pytest.raises(Unauthorized, match="as the part api_key, Authorization: Bearer KEY or X-Api-Key: KEY; "):
        check_body_key(request(tmp_path), token)


def test_rate_of_a_key_is_limited(tmp_path: Path, tokens: dict[str, str]) -> None:
    limit = RateLimit(0.001, 1)
    check_body_key(request(tmp_path, limit), tokens["detect"])
    with pytest.raises(RateLimited, match="too many requests of one key"):
        check_body_key(request(tmp_path, limit), tokens["detect"])


def test_key_in_a_header_is_not_asked_for_again(tmp_path: Path, tokens: dict[str, str]) -> None:
    asked = request(tmp_path)
    del asked.scope[IN_BODY]  # as the access middleware leaves it after a valid header
    check_body_key(asked, None)
    assert CLIENT not in asked.scope


@pytest.mark.parametrize(
    ("protocol", "place"),
    [("native", ""), ("doods", "doods-auth-key: KEY, "), ("label-studio", "a password of basic authentication, ")],
)
def test_errors_name_the_places_of_the_protocol(protocol: str, place: str) -> None:
    expected = f"expected an API key as {place}Authorization: Bearer KEY or X-Api-Key: KEY"
    assert expect_key(BY_NAME[protocol]) == expected
