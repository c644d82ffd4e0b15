"""Headers that say until when and for whom a request runs."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from model_zoo.contract.repository import Repository
from service.api.context import read_context
from tests.service.app_client import check_problem, png, serving
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import open_fake_engine


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Request-Timeout", "soon"),
        ("X-Request-Timeout", "0"),
        ("X-Request-Timeout", "-1"),
        ("X-Request-Timeout", "nan"),
        ("X-Request-Priority", "high"),
    ],
)
def test_malformed_header_is_refused(repository: Repository, publish: Publish, header: str, value: str) -> None:
    publish("toy")
    with serving(repository, open_fake_engine) as client:
        response = client.post("/detect", content=png(flat(1)), headers={header: value, "Content-Type": "image/png"})
    detail = check_problem(response, 400, "Bad request")
    assert detail.startswith(f"{header}: expected ")
    assert repr(value) in detail


def test_timeout_header_shortens_the_deadline(repository: Repository, publish: Publish) -> None:
    publish("toy")
    with serving(repository, open_fake_engine) as client:
        headers = {"X-Request-Timeout": "1e-9", "Content-Type": "image/png"}
        response = client.post("/detect", content=png(flat(1)), headers=headers)
        assert response.status_code in (408, 504)
        accepted = client.post("/detect", content=png(flat(1)), headers={**headers, "X-Request-Timeout": "inf"})
        assert accepted.status_code == 200


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3::9", "2001:db8:1:2::/64"),
    ],
)
def test_addresses_of_one_customer_are_one_client(address: str, client: str) -> None:
    scope = {"type": "http", "headers": [], "client": (address, 1)}

    async def read() -> str:
        return read_context(Request(scope), 1.0).client

    assert asyncio.run(read()) == client
