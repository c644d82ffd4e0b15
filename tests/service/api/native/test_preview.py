"""POST /preview: formats, size, limits and errors."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.inference.image_pool import MAX_PREVIEW_SIDE
from tests.heif_images import encode_heif
from tests.images import exif
from tests.service.app_client import check_problem, detect, png, serving
from tests.service.conftest import flat


def decode(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)


def test_tiff_becomes_jpeg(client: TestClient) -> None:
    image = flat(200, 100, 50, size=(40, 60))
    tiff = cv2.imencode(".tiff", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    response = client.post("/preview", files={"file": tiff})
    assert response.headers["content-type"] == "image/jpeg"
    assert np.abs(decode(response.content).astype(int) - image).max() < 8
    assert decode(client.post("/preview", content=tiff, headers={"Content-Type": "image/tiff"}).content).shape == (
        image.shape
    )


def test_heif_is_shown_and_detected(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """By every way in, upright, with the detections of the same image in another format."""
    image = flat(200, 150, 50, size=(40, 60))
    heif = encode_heif(image, exif=b"Exif\0\0" + exif(6))
    shown = decode(client.post("/preview", files={"file": heif}).content)
    assert shown.shape == (60, 40, 3)
    assert np.abs(shown.astype(int) - (200, 150, 50)).max() < 8
    expected, answer = (detect(client, data, score=0.1).json()["results"][0] for data in (png(shown), heif))
    assert answer["image"] == {"width": 40, "height": 60}
    assert [found["label"] for found in answer["detections"]] == [found["label"] for found in expected["detections"]]
    with client.websocket_connect("/ws/detect?score=0.1") as socket:
        socket.send_bytes(heif)
        assert socket.receive_json()["detections"] == answer["detections"] != []
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    refused = check_problem(client.post("/preview", files={"file": heif}), 415, "Unsupported image")
    assert "got a HEIC image" in refused
    assert "pip install 'yolo-lineage[heif]'" in refused


@pytest.mark.parametrize("size", [(30, 2 * MAX_PREVIEW_SIDE), (3 * MAX_PREVIEW_SIDE, 1)])
def test_large_images_are_reduced(client: TestClient, size: tuple[int, int]) -> None:
    shown = decode(client.post("/preview", files={"file": png(flat(9, size=size))}).content)
    assert max(shown.shape) == MAX_PREVIEW_SIDE
    assert min(shown.shape[:2]) == max(min(size) * MAX_PREVIEW_SIDE // max(size), 1)


def test_one_usable_image_is_expected(client: TestClient) -> None:
    assert "JPEG" in check_problem(client.post("/preview", files={"file": b"hello"}), 415, "Unsupported image")
    two = [("file", png(flat(1))), ("file", png(flat(2)))]
    assert "expected at most 1 file" in check_problem(client.post("/preview", files=two), 400, "Bad request")


def test_limits_are_those_of_detect(repository: Repository, toy: Package) -> None:
    assert toy
    with serving(repository, max_image_pixels=4096) as client:
        assert client.post("/preview", files={"file": png(flat(9))}).status_code == 200
        large = client.post("/preview", files={"file": png(flat(9, size=(64, 65)))})
        check_problem(large, 413, "Image too large")
