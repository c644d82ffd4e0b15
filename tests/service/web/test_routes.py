"""The pages: the playground, the models and the report on shadow versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.web.routes import FOLDER

MAX_PAGE_BYTES = 120_000


@pytest.mark.parametrize("address", ["/", "/model-cards", "/shadow"])
def test_pages_load_nothing_from_other_hosts(client: TestClient, address: str) -> None:
    page = client.get(address)
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert "playground/tokens.css" in addresses
    assert [client.get(f"/{linked}").status_code for linked in addresses] == [200] * len(addresses)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.*")), ids=lambda path: path.name)
def test_files_name_no_other_host(path: Path) -> None:
    text = re.sub(r"(^|\s)// .*", "", path.read_text(encoding="utf-8"))  # comments
    hosts = set(re.findall(r"(?:https?:|wss?:|['\"])//([\w.]+)", text))
    assert hosts <= {"www.w3.org"}  # the name space of SVG


def test_playground_is_small() -> None:
    apart = ("cards.", "docs.", "shadow.")  # other pages
    files = [path for path in FOLDER.iterdir() if path.is_file() and not path.name.startswith(apart)]
    assert sum(path.stat().st_size for path in files) <= MAX_PAGE_BYTES


def test_browsers_check_files_at_each_use(client: TestClient) -> None:
    first = client.get("/playground/app.js")
    again = client.get("/playground/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    assert first.headers["cache-control"] == again.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("address", ["/playground", "/playground/"])
def test_folder_leads_to_the_page(client: TestClient, address: str) -> None:
    assert client.get(address).text == client.get("/").text


def test_samples_are_listed(client: TestClient) -> None:
    listed = client.get("/playground/samples/index.json").json()
    assert {"wizard.jpg", "coco/cat.jpg"} <= set(listed)
    assert all(client.get(f"/playground/samples/{name}").headers["content-type"] == "image/jpeg" for name in listed)


def test_files_outside_the_playground_are_not_served(client: TestClient) -> None:
    assert client.get("/playground/../app.py").status_code == 404
