"""Request bodies: forms, raw bodies, limits on bytes, files, memory and time."""

from __future__ import annotations

import gzip
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.testclient import TestClient

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from tests.service.app_client import RawRequest, check_problem, detect, png, serving, wait_until
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import GatedEngines

FORM = "multipart/form-data; boundary=x"
PART = b"--x\r\nContent-Disposition: form-data"
END = b"\r\n--x--\r\n"


def noise() -> np.ndarray:
    """An image that PNG cannot compress."""
    return np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["image/png", "image/x-whatever", "application/octet-stream", "IMAGE/PNG; x=1"])
def test_raw_body_equals_a_form(client: TestClient, kind: str) -> None:
    body = png(flat(200))
    answer = client.post("/detect", content=body, headers={"Content-Type": kind}).json()
    in_a_form = detect(client, body).json()
    assert answer["results"][0] == in_a_form["results"][0] | {"file": None}


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json", "application/x-www-form-urlencoded"])
def test_other_content_types_are_refused(client: TestClient, kind: str) -> None:
    response = client.post("/detect", content=png(flat(200)), headers={"Content-Type": kind})
    assert "multipart/form-data" in check_problem(response, 415, "Unsupported body")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--x\r\n"),
        (FORM, b""),
        (FORM, b"no boundary in here"),
        (FORM, b"--x\r\n\r\nno disposition" + END),
        (FORM, PART + b"\r\n\r\nno name" + END),
        (FORM, PART + b'; name="photo"; filename="a"\r\n\r\nof another name' + END),
        (FORM, PART + b'; name="score"\r\n\r\n0.5' + END),
        (FORM, PART + b'; name="file"; filename="a"\r\n\r\ncut short'),
        (FORM, (PART + b'; name="file"; filename="a"\r\n\r\n\r\n') * 5000 + END),
        (FORM, b"--x\r\n" + b"A" * 10_000 + b": b\r\n"),
        (FORM, b"--x\r\n" + b"A: b\r\n" * 1000),
        (FORM + "; charset=undefined", PART + b'; name="\xff"\r\n\r\n' + END),
        (FORM + "; charset=a\\b", PART + b'; name="\xff"\r\n\r\n' + END),
        (FORM + "x" * 5000, b"--x--"),
    ],
)
def test_malformed_forms_are_refused(client: TestClient, kind: str, body: bytes) -> None:
    check_problem(client.post("/detect", content=body, headers={"Content-Type": kind}), 400, "Bad request")


@pytest.mark.parametrize("head", ["", "\r\nContent-Type: image/png", '; filename="a.png"'])
@pytest.mark.parametrize("field", ["file", "image"])
def test_part_is_the_image_with_or_without_a_file_name(client: TestClient, field: str, head: str) -> None:
    body = b"--x\r\n" + f'Content-Disposition: form-data; name="{field}"{head}\r\n\r\n'.encode() + png(noise()) + END
    response = client.post("/detect", content=body, headers={"Content-Type": FORM})
    assert response.json()["results"][0]["file"] == ("a.png" if "filename" in head else None)


def test_options_in_the_form_are_refused_with_a_hint(client: TestClient) -> None:
    response = client.post("/detect", files={"file": png(flat(9))}, data={"score": "0.5"})
    assert "belong in the query" in check_problem(response, 400, "Bad request")


@pytest.mark.parametrize("kind", ["image/png", FORM])
@pytest.mark.parametrize("encoding", ["gzip", "Deflate", "br"])
def test_encoded_bodies_are_refused(client: TestClient, kind: str, encoding: str) -> None:
    headers = {"Content-Type": kind, "Content-Encoding": encoding}
    response = client.post("/detect", content=gzip.compress(png(flat(9))), headers=headers)
    assert f"got '{encoding.lower()}'" in check_problem(response, 415, "Unsupported body")


def test_large_form_needs_no_temporary_file(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    image = np.random.default_rng(0).integers(0, 255, (1000, 1000, 3), dtype=np.uint8)
    assert detect(client, png(image)).status_code == 200


def test_unusual_file_names_are_returned_shortened(client: TestClient) -> None:
    name = "ü/../\u2028" + "x" * 1000
    response = client.post("/detect", files=[("file", (name, png(flat(9)))), ("file", png(flat(9)))])
    assert response.status_code == 200
    assert response.json()["results"][0]["file"] == name[:255]
    head = b'Content-Disposition: form-data; name="file"; filename="\\ud800"\r\n\r\n'
    response = client.post(
        "/detect",
        content=b"--x\r\n" + head + png(flat(9)) + b"\r\n--x--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x; charset=unicode_escape"},
    )
    assert response.status_code == 200, response.text


def test_body_is_counted_as_received(repository: Repository, toy: Package) -> None:
    assert toy
    with serving(repository, max_body=10_000) as client:
        assert detect(client, png(flat(9))).status_code == 200
        assert "10,000 bytes" in check_problem(detect(client, png(noise())), 413, "Body too large")
        chunks = (b"x" * 1000 for _ in range(1000))
        response = client.post("/detect", content=chunks, headers={"Content-Type": "image/png"})
        check_problem(response, 413, "Body too large")


def test_declared_length_above_the_limit_is_refused_unread(client: TestClient) -> None:
    request = RawRequest(client, b"x", length=1 << 40)
    assert request.run() == 413
    assert request.reads == 0


def test_too_many_files_are_refused(repository: Repository, toy: Package) -> None:
    assert toy
    with serving(repository, max_files=2) as client:
        image = png(flat(9))
        assert detect(client, image, image).status_code == 200
        detail = check_problem(detect(client, image, image, image), 400, "Bad request")
        assert "expected at most 2 files" in detail


def test_memory_for_bodies_is_limited_and_released(repository: Repository, publish: Publish) -> None:
    publish()
    engines, body = GatedEngines(), png(noise())
    limits = {"max_body": 2 * len(body), "max_pending": 2 * len(body)}
    with serving(repository, engines, **limits, warm_up=False) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/detect", content=body, headers={"Content-Type": "image/png"})
        wait_until(lambda: engines.started)
        check_problem(detect(client, body), 503, "Memory full")  # the form around the image exceeds the rest
        engines.gate.set()
        assert first.result().status_code == 200
        assert detect(client, body).status_code == 200
        assert client.app_state["service"].memory.free == limits["max_pending"]
