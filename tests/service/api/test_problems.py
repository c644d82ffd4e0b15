"""Errors as problem+json."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.repository import Repository
from service.api.errors import RequestError
from service.api.problems import STATUS_BY_ERROR, problem
from service.inference.errors import Overloaded, QueueFull, ServiceError
from tests.service.app_client import check_problem, detect, png, serving
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import POISON, open_fake_engine

ABSTRACT = {Overloaded, QueueFull}


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


@pytest.mark.parametrize("base", [RequestError, ServiceError])
def test_every_service_error_is_in_the_table(base: type[Exception]) -> None:
    assert set(subclasses(base)) - ABSTRACT <= STATUS_BY_ERROR.keys()


def test_titles_identify_the_error() -> None:
    titles = [title for _, title in STATUS_BY_ERROR.values()]
    assert len(set(titles)) == len(titles)


def test_error_without_its_own_entry_uses_the_base_class() -> None:
    class Special(PackageError):
        pass

    assert (problem(Special("x")).status, problem(Special("x")).title) == (409, "Model unusable")
    assert problem(LineageError("x")).status == 422


def test_unexpected_error_is_logged_and_not_shown(
    repository: Repository, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    with serving(repository, open_fake_engine, max_batch=4) as client:
        assert "poison" not in check_problem(detect(client, png(flat(POISON))), 500, "Internal error")
        assert "poisoned image" in caplog.text
        assert detect(client, png(flat(9))).status_code == 200


def test_unknown_path_and_method_are_problems(client: TestClient) -> None:
    assert "GET /nothing: no such address; images go to POST /detect" in check_problem(
        client.get("/nothing"), 404, "Not Found"
    )
    assert "did you mean /detect?" in check_problem(client.post("/detcet"), 404, "Not Found")
    assert "did you mean /health/ready?" in check_problem(client.get("/health/readyz"), 404, "Not Found")
    response = client.get("/detect")
    assert "GET /detect: expected POST" in check_problem(response, 405, "Method Not Allowed")
    assert response.headers["allow"] == "POST, OPTIONS"
