"""Headers that say until when and for whom a request runs."""

from __future__ import annotations

import pytest

from model_zoo.contract.repository import Repository
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
