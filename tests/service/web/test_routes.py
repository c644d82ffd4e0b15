"""GET /: the playground."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient


def test_playground_loads_nothing_from_other_hosts(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"playground/app.js", "playground/style.css"} <= set(addresses)
    for address in addresses:
        assert address == "data:," or client.get(f"/{address}").status_code == 200
    for text in (page.text, client.get("/playground/app.js").text, client.get("/playground/style.css").text):
        assert "//" not in re.sub(r"(^|\s)// .*", "", text)  # only in comments: no address of another host


@pytest.mark.parametrize("address", ["/playground", "/playground/"])
def test_folder_leads_to_the_page(client: TestClient, address: str) -> None:
    assert client.get(address).text == client.get("/").text


def test_samples_are_listed(client: TestClient) -> None:
    listed = client.get("/playground/samples/index.json").json()
    assert {"wizard.jpg", "coco/cat.jpg"} <= set(listed)
    assert all(client.get(f"/playground/samples/{name}").headers["content-type"] == "image/jpeg" for name in listed)


def test_files_outside_the_playground_are_not_served(client: TestClient) -> None:
    assert client.get("/playground/../app.py").status_code == 404
