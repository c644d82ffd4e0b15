"""Calls, performed against real and scripted servers. Both transports find the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import pytest

from lineage.client import (
    Client,
    DeadlineExceeded,
    Health,
    ImageError,
    ImageResult,
    InvalidRequest,
    ModelInfo,
    ModelNotFound,
    UnexpectedAnswer,
)
from lineage.client import core as core_module
from lineage.client.core import Transport
from tests.lineage.client.scripted_server import Scripted, answer, problem
from tests.service.app_client import png
from tests.service.conftest import flat

IMAGES = [png(flat(40 * i, 250 - 40 * i, 99, (48 + i, 64))) for i in range(6)]
TRANSPORTS: Sequence[Transport] = ("native", "oip")


@pytest.fixture(params=TRANSPORTS)
def client(request: pytest.FixtureRequest, url: str) -> Iterator[Client]:
    with Client(url, transport=request.param) as client:
        yield client


def describe(results: Sequence[ImageResult | ImageError]) -> list[Any]:
    """Return the results with numbers as the service rounds them."""
    return [result.to_dict() if isinstance(result, ImageResult) else type(result) for result in results]


def test_one_image_has_its_detections(client: Client) -> None:
    result = client.detect(png(flat(255, 51, 0, (64, 32))), score=0.5)
    assert (result.size, result.labels, result.model) == ((64, 32), ["red"], "toy@1")
    assert result.detections.scores == pytest.approx([(255 + 114) / 510])  # half of the canvas is gray
    assert bool(result.timing_ms) == (client._core._transport == "native")


def test_transports_find_the_same(url: str) -> None:
    images = [*IMAGES[:3], b"no image", np.zeros((5, 7, 3), np.uint8)]
    options: list[Any] = [
        {}, {"score": 0.3, "iou": 0.2, "nms": "iou"}, {"classes": ["blue", 0], "max_detections": 1}, {"model": "toy@1"},
    ]  # fmt: skip
    with Client(url) as native, Client(url, transport="oip") as oip:
        for chosen in options:
            found = describe(native.detect(images, **chosen))
            assert found == describe(oip.detect(images, **chosen))
            assert found[3] is ImageError


@pytest.mark.parametrize("count", [1, 4, 5, 6])
def test_batches_beyond_the_limit_of_the_server_are_halved(client: Client, count: int) -> None:
    results = list(client.detect_many(IMAGES[:count], batch_size=6))
    assert describe(results) == [client.detect(image).to_dict() for image in IMAGES[:count]]


def test_large_batches_are_halved_before_they_are_sent(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_module, "MAX_REQUEST_BYTES", 100)
    with Client(scripted.url) as client:
        assert len(client.detect([b"x" * 60] * 4)) == 4
    assert [len(request.body) for request in scripted.received] == [60] * 4


def test_orientation_of_files_counts(client: Client) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="needs Pillow")
    image = pillow.fromarray(flat(200, 0, 0, (48, 64)))
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    file = cv2.imencode(".jpg", np.asarray(image))[1].tobytes()
    file = file[:2] + b"\xff\xe1" + (len(exif.tobytes()) + 2).to_bytes(2, "big") + exif.tobytes() + file[2:]
    assert client.detect(file).size == (64, 48)


def test_unusable_image_is_raised_when_alone_and_listed_among_others(client: Client) -> None:
    with pytest.raises(ImageError) as caught:
        client.detect(b"no image")
    assert caught.value.status == 415
    first, second = client.detect([b"no image", IMAGES[0]])
    assert isinstance(first, ImageError)
    assert isinstance(second, ImageResult)
    [only] = client.detect([b""])
    assert isinstance(only, ImageError)
    assert client.detect([]) == []


def test_errors_of_the_request_are_raised(client: Client) -> None:
    for images in (IMAGES[0], IMAGES):
        with pytest.raises(ModelNotFound, match="no model"):
            client.detect(images, model="toya")
        with pytest.raises(InvalidRequest, match="score"):
            client.detect(images, score=2)
        with pytest.raises(InvalidRequest, match="yellow"):
            client.detect(images, classes=["yellow"])
    with pytest.raises(TypeError, match="threshold"):
        client.detect(IMAGES[0], threshold=0.5)  # type: ignore[call-overload]


def test_drawn_image_is_a_jpeg_of_the_same_size(client: Client) -> None:
    drawn = cv2.imdecode(np.frombuffer(client.draw(IMAGES[0], score=0.1), np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    assert drawn.shape == (48, 64, 3)
    with pytest.raises(ImageError):
        client.draw(b"no image")


def test_models_are_listed(client: Client) -> None:
    assert client.models() == [ModelInfo("toy", 1, {1: "loaded"}, {})]
    assert client.card("toy")["class_names"] == ["red", "green", "blue"]
    with pytest.raises(ModelNotFound):
        client.card("toya")


def test_health_is_reported(client: Client) -> None:
    assert client.health() == Health(True)
    assert client.ready()
    assert client.wait_until_ready() is client


def test_server_that_is_not_ready_is_asked_until_it_is(scripted: Scripted) -> None:
    body = {"status": "not ready", "missing": ["toy@1 is loading"]}
    ready = answer(200, {"status": "ready", "missing": [], "degraded": ["b"]})
    scripted.script(answer(503, body), answer(502, b""), ready)
    with Client(scripted.url) as client:
        client.wait_until_ready()
        assert client.health() == Health(True, (), ("b",))
        scripted.script(answer(503, body))
        assert not client.ready()
        with pytest.raises(DeadlineExceeded, match=r"not ready after 0.3 s: toy@1 is loading"):
            client.wait_until_ready(0.3)


def test_server_that_cannot_be_reached_is_not_ready() -> None:
    with Client("http://127.0.0.1:9") as client:
        assert not client.ready()
        with pytest.raises(DeadlineExceeded, match=r"no answer from http://127.0.0.1:9/health/ready"):
            client.wait_until_ready(0.1)


@pytest.mark.parametrize("call", ["detect", "draw", "models", "health"])
def test_another_program_is_recognized(scripted: Scripted, call: str) -> None:
    scripted.script(answer(200, b"<html>It works!", Content_Type="text/html"))
    with Client(scripted.url) as client, pytest.raises(UnexpectedAnswer, match="got text/html: '<html>It works!'"):
        getattr(client, call)(*([b"x"] if call in ("detect", "draw") else []))


def test_several_models_without_a_default_need_a_name(scripted: Scripted) -> None:
    scripted.script(answer(200, {"models": [], "default_model": None}))
    with Client(scripted.url, transport="oip") as client, pytest.raises(InvalidRequest, match="no default model"):
        client.detect(b"x")


def test_class_names_are_asked_for_once(url: str) -> None:
    sent = list[str]()
    hooks = {"request": [lambda request: sent.append(request.url.path)]}
    with Client(url, transport="oip", event_hooks=hooks) as client:
        for image in IMAGES:
            client.detect(image, model="toy")
    assert sent.count("/v2/models/toy/infer") == len(IMAGES)
    assert sent.count("/v2/models/toy/versions/1/config") == 1


def test_refusals_of_whole_requests_are_not_halved(scripted: Scripted) -> None:
    scripted.script(problem(422, "Query out of range"))
    with Client(scripted.url) as client, pytest.raises(InvalidRequest):
        list(client.detect_many(IMAGES, batch_size=6))
    assert len(scripted.received) == 1


def test_unknown_transport_is_refused() -> None:
    with pytest.raises(ValueError, match="expected native or oip; got 'grpc'"):
        Client("http://host", transport="grpc")  # type: ignore[arg-type]
