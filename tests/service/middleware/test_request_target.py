"""Request targets in absolute form, as raw bytes to a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from tests.service.app_client import png
from tests.service.conftest import flat
from tests.service.deploy.wire import exchange, get, listening, post


@pytest.fixture(scope="module")
def port(toy_package: Package) -> Iterator[int]:
    with listening(Repository(toy_package.path.parents[1])) as port:
        yield port


@pytest.mark.parametrize("base", ["http://x", "HTTP://other.example:8000", "https://user@x"])
def test_absolute_form_is_the_path(port: int, base: str) -> None:
    assert exchange(port, post(png(flat(9)), f"{base}/detect?score=0.5")).startswith(b"HTTP/1.1 200 OK")
    assert b'"live"' in exchange(port, get(f"{base}/%68ealth/live"))
    assert b"<!doctype html>" in exchange(port, get(base))
    assert exchange(port, get(f"{base}/nothing")).startswith(b"HTTP/1.1 404")


def test_host_of_the_target_replaces_the_header(port: int) -> None:
    assert b"'http://public.example/detect?" in exchange(port, get("http://public.example/docs"))


def test_options_of_the_whole_server(port: int) -> None:
    assert b"allow: GET, HEAD, POST, OPTIONS" in exchange(port, get("*", "OPTIONS"))
