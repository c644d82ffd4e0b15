"""Requests over the limit of their key or address."""

from __future__ import annotations

from pathlib import Path

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.access.key_file import add_key
from service.middleware.rate_limit import by_address
from tests.service.app_client import RawRequest, check_problem, png, serving
from tests.service.conftest import flat

SLOW = 0.01  # one request in 100 seconds: the test sees the burst alone


def test_address_over_its_limit_is_refused_before_its_body_is_read(toy_package: Package) -> None:
    models = Repository(toy_package.path.parents[1])
    with serving(models, rate_per_address=SLOW, rate_burst=3) as client:
        assert [client.get("/models").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
        refused = client.get("/models")
        assert "too many requests of one address" in check_problem(refused, 429, "Rate limit reached")
        assert 95 <= int(refused.headers["retry-after"]) <= 100
        assert client.get("/health/ready").status_code == 200
        request = RawRequest(client, png(flat(9)))
        request.scope["client"] = ("testclient", 1)
        assert (request.run(), request.reads) == (429, 0)


def test_addresses_have_their_own_limits(toy_package: Package) -> None:
    with serving(Repository(toy_package.path.parents[1]), rate_per_address=SLOW, rate_burst=1) as client:
        statuses = []
        for host in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):
            request = RawRequest(client, png(flat(9)))
            request.scope["client"] = (host, 1)
            statuses.append(request.run())
        assert [status == 429 for status in statuses] == [False, True, False, False, True, False]


def test_keys_have_their_own_limits_and_guesses_count_for_the_address(toy_package: Package, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    tokens = [add_key(path, name, ("detect",)) for name in ("a", "b")]
    limits = {"rate_per_key": SLOW, "rate_per_address": SLOW, "rate_burst": 2}
    models = Repository(toy_package.path.parents[1])
    with serving(models, keys=path, rate_per_key=SLOW, rate_burst=2) as client:
        a, b = ({"X-Api-Key": token} for token in tokens)
        assert [client.get("/models", headers=a).status_code for _ in range(3)] == [200, 200, 429]
        assert client.get("/models", headers=b).status_code == 200
        assert client.get("/models").status_code == 401
    with serving(models, keys=path, **limits) as client:
        assert [client.get("/models", headers={"X-Api-Key": "guess"}).status_code for _ in range(3)] == [401, 401, 429]


def test_clients_without_an_address_share_a_limit() -> None:
    assert by_address({"type": "http", "client": None}) == by_address({"type": "http"}) == ""
