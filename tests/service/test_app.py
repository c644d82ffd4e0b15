"""The application in one process: answers, refusals, overload. A real server is started in tests/e2e."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import pytest
from httpx2 import Response
from numpy.typing import NDArray
from starlette.testclient import TestClient

from model_zoo.contract import pipeline
from model_zoo.contract.package import Package, Repository
from model_zoo.runtime.base import EngineOptions, OpenEngine
from model_zoo.runtime.open import open_engine
from service.api.native.schemas import DetectAnswer, Health, Model, Models
from service.app import create_app
from service.settings import Settings
from tests.service import fake_engine
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import POISON, FakeEngine

Image = NDArray[np.uint8]


def png(image: Image) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


@contextmanager
def serving(
    repository: Repository, load: OpenEngine = open_engine, *, ready: bool = True, **settings: object
) -> Iterator[TestClient]:
    app = create_app(Settings(repository=repository.root, **settings), load)
    with TestClient(app, raise_server_exceptions=True) as client:
        give_up = time.monotonic() + 30
        while ready and client.get("/health/ready").status_code != 200:
            assert time.monotonic() < give_up, client.get("/health/ready").json()
            time.sleep(0.01)
        yield client


@pytest.fixture
def client(repository: Repository, toy: Package) -> Iterator[TestClient]:
    assert toy.version == 1
    with serving(repository) as client:
        yield client


class Gated:
    """Makes fake engines that share one gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.engine: FakeEngine | None = None

    def __call__(self, package: Package, options: EngineOptions) -> FakeEngine:
        self.engine = fake_engine.load(package, options)
        self.engine.gate = self.gate
        return self.engine


def detect(client: TestClient, *images: bytes, **query: object) -> Response:
    return client.post("/detect", params=query, files=[("file", (f"{i}.png", image)) for i, image in enumerate(images)])


def refused(response: Response, status: int, title: str) -> str:
    """Check that a response is a problem of RFC 9457 and return its detail."""
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (response.status_code, problem["status"], problem["title"]) == (status, status, title)
    assert problem["type"].startswith("urn:yolo-lineage:problem:")
    assert problem["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return str(problem["detail"])


# Answers


def test_the_answer_is_what_the_contract_finds(client: TestClient, toy: Package) -> None:
    image = flat(200, 250, 50, (48, 96))
    answer = detect(client, png(image), model="toy", score=0.4, iou=0.5, nms="iou").json()
    query = pipeline.make_query(toy.card, score=0.4, iou=0.5, distance_weight=0)
    expected = pipeline.detect(toy.card, open_engine(toy).run, [image], query)[0]
    assert len(expected) == 2
    assert (expected.boxes[:, 3] > expected.boxes[:, 1]).all()
    assert answer["model"] == {"name": "toy", "version": 1}
    assert answer["results"] == [
        {"file": "0.png", "image": {"width": 96, "height": 48}, "detections": expected.to_dict(toy.card.class_names)}
    ]
    assert set(answer["timing_ms"]) == {"decode", "queue", "infer", "total"}
    assert DetectAnswer.model_validate(answer, strict=False).results[0].error is None


@pytest.mark.parametrize("kind", ["image/png", "image/x-whatever", "application/octet-stream", "IMAGE/PNG; x=1"])
def test_a_raw_body_is_taken(client: TestClient, kind: str) -> None:
    body = png(flat(200))
    answer = client.post("/detect", content=body, headers={"Content-Type": kind}).json()
    in_a_form = detect(client, body).json()
    assert answer["results"][0] == in_a_form["results"][0] | {"file": None}


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json", "application/x-www-form-urlencoded"])
def test_a_body_of_another_kind_is_refused(client: TestClient, kind: str) -> None:
    response = client.post("/detect", content=png(flat(200)), headers={"Content-Type": kind})
    assert "multipart/form-data" in refused(response, 415, "Unsupported body")


def test_classes_and_their_number_can_be_limited(client: TestClient) -> None:
    image = png(flat(200, 150, 100))
    labels = [
        [d["label"] for d in detect(client, image, score=0.1, **query).json()["results"][0]["detections"]]
        for query in ({}, {"classes": "green,2"}, {"classes": ["blue", "red"]}, {"max_detections": 1})
    ]
    assert labels == [["red", "green", "blue"], ["green", "blue"], ["red", "blue"], ["red"]]


def test_thresholds_and_the_measure_reach_the_graph(client: TestClient) -> None:
    image = png(flat(200, 200))
    bottoms = [
        detect(client, image, **query).json()["results"][0]["detections"][0]["box"][3]
        for query in ({"iou": 0.0, "nms": "iou"}, {"iou": 0.8, "nms": "iou"}, {"iou": 0.8, "nms": "diou"}, {"iou": 0.8})
    ]
    assert np.allclose(np.diff(bottoms), [0.8 / 8, 1 / 8, 0], atol=2e-3)


def test_of_several_files_a_bad_one_harms_only_itself(client: TestClient) -> None:
    good, other = png(flat(200)), png(flat(0, 255))
    response = detect(client, good, b"GIF89a nonsense", other)
    assert response.status_code == 200
    first, bad, last = response.json()["results"]
    assert first["detections"] == detect(client, good).json()["results"][0]["detections"]
    assert last["detections"] == detect(client, other).json()["results"][0]["detections"]
    assert first["detections"] != last["detections"]
    assert (bad["file"], bad["error"]["status"], "detections" in bad) == ("1.png", 415, False)
    DetectAnswer.model_validate(response.json())


def test_files_that_are_all_bad_are_answered_one_by_one(client: TestClient) -> None:
    response = detect(client, b"one", b"two")
    assert [result["error"]["title"] for result in response.json()["results"]] == ["Unsupported image"] * 2
    assert response.json()["timing_ms"]["infer"] == 0


def test_a_single_bad_file_is_refused(client: TestClient) -> None:
    assert "JPEG" in refused(detect(client, b"hello"), 415, "Unsupported image")
    assert refused(detect(client, png(flat(1))[:60]), 422, "Image unreadable")


def test_the_drawn_picture_is_answered_on_request(client: TestClient) -> None:
    image = flat(0, 255, size=(120, 200))
    response = client.post("/detect", files={"file": png(image)}, headers={"Accept": "image/jpeg"})
    assert response.headers["content-type"] == "image/jpeg"
    drawn = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert drawn.shape == image.shape
    assert np.abs(drawn.astype(int) - image).max() > 100, "nothing was drawn"
    two = client.post("/detect", files=[("file", png(image))] * 2, headers={"Accept": "image/jpeg"})
    assert "one file" in refused(two, 400, "Bad request")
    bad = client.post("/detect", files={"file": b"no picture"}, headers={"Accept": "image/jpeg"})
    refused(bad, 415, "Unsupported image")
    refused(client.post("/detect", files={"file": png(image)}, headers={"Accept": "text/html"}), 406, "Not acceptable")


def test_a_model_is_named_by_version_or_alias(client: TestClient, repository: Repository) -> None:
    repository.set_alias("toy", "best", 1)
    for reference in ("toy", "toy@1", "toy@latest", "toy@best"):
        assert detect(client, png(flat(9)), model=reference).json()["model"] == {"name": "toy", "version": 1}
    for reference in ("toy@2", "toy@", "yolo", "../toy", "toy@1@1", "\0"):
        refused(detect(client, png(flat(9)), model=reference), 404, "No such model")


# Refusals


@pytest.mark.parametrize(
    "query",
    [
        {"score": "2"}, {"score": "-0.1"}, {"score": "nan"}, {"score": "inf"}, {"iou": "1.01"}, {"iou": "NaN"},
        {"score": "0"}, {"classes": "dog"}, {"classes": "3"}, {"classes": "-1"}, {"classes": ""},
        {"classes": "9" * 5000}, {"max_detections": "4"},
    ],
)  # fmt: skip
def test_what_the_model_does_not_allow_is_refused(client: TestClient, query: dict[str, str]) -> None:
    assert refused(detect(client, png(flat(9)), **query), 422, "Query out of range").startswith(next(iter(query)))


@pytest.mark.parametrize(
    "query",
    [
        {"score": "high"}, {"scor": "0.5"}, {"nms": "soft"}, {"max_detections": "0"}, {"max_detections": "9" * 400},
        {"max_detections": "1.5"}, {"model": ""}, {"model": "x" * 300}, {"classes": ["red"] * 1001},
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(client: TestClient, query: dict[str, object]) -> None:
    response = detect(client, png(flat(9)), **query)
    assert next(iter(query)) in refused(response, 422, "Query not understood")
    assert response.json()["errors"][0]["where"].startswith(f"query.{next(iter(query))}")


FORM = "multipart/form-data; boundary=x"
PART = b"--x\r\nContent-Disposition: form-data"
END = b"\r\n--x--\r\n"
UNCLOSED = pytest.mark.filterwarnings(  # Starlette leaves the file of a part that never ends to the garbage collector
    "ignore:.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning"
)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--x\r\n"),
        (FORM, b""),
        (FORM, b"no boundary in here"),
        (FORM, b"--x\r\n\r\nno disposition" + END),
        (FORM, PART + b"\r\n\r\nno name" + END),
        (FORM, PART + b'; name="file"\r\n\r\ntext and no file' + END),
        (FORM, PART + b'; name="image"; filename="a"\r\n\r\nof another name' + END),
        pytest.param(FORM, PART + b'; name="file"; filename="a"\r\n\r\ncut short', marks=UNCLOSED),
        (FORM, (PART + b'; name="file"; filename="a"\r\n\r\n\r\n') * 5000 + END),
        (FORM, b"--x\r\n" + b"A" * 10_000 + b": b\r\n"),
        (FORM, b"--x\r\n" + b"A: b\r\n" * 1000),
        (FORM + "; charset=undefined", PART + b'; name="file"\r\n\r\n\xff' + END),
        (FORM + "; charset=a\\b", PART + b'; name="\xff"\r\n\r\n' + END),
        (FORM + "x" * 5000, b"--x--"),
    ],
)
def test_malformed_forms_are_refused(client: TestClient, kind: str, body: bytes) -> None:
    refused(client.post("/detect", content=body, headers={"Content-Type": kind}), 400, "Bad request")


def test_an_odd_file_name_comes_back_shortened_and_harmless(client: TestClient) -> None:
    response = client.post(
        "/detect", files=[("file", ("ü/../\u2028" + "x" * 1000, png(flat(9)))), ("file", png(flat(9)))]
    )
    assert response.status_code == 200
    assert response.json()["results"][0]["file"] == ("ü/../\u2028" + "x" * 1000)[:255]
    head = b'Content-Disposition: form-data; name="file"; filename="\\ud800"\r\n\r\n'
    response = client.post(
        "/detect",
        content=b"--x\r\n" + head + png(flat(9)) + b"\r\n--x--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x; charset=unicode_escape"},
    )
    assert response.status_code == 200, response.text


def test_a_body_is_counted_as_it_comes_whatever_its_length_claims(repository: Repository, toy: Package) -> None:
    assert toy
    with serving(repository, max_body=10_000) as client:
        too_large = flat(9), np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        assert detect(client, png(too_large[0])).status_code == 200
        assert "10,000 bytes" in refused(detect(client, png(too_large[1])), 413, "Body too large")
        chunks = (b"x" * 1000 for _ in range(1000))
        response = client.post("/detect", content=chunks, headers={"Content-Type": "image/png"})
        refused(response, 413, "Body too large")


def test_all_bodies_together_are_limited_and_their_memory_comes_back(repository: Repository, publish: Publish) -> None:
    publish()
    gated = Gated()
    body = png(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    limits = {"max_body": 2 * len(body), "max_pending": 2 * len(body)}
    with serving(repository, gated, **limits, warm_up=False) as client, ThreadPoolExecutor(1) as pool:
        holding = pool.submit(client.post, "/detect", content=body, headers={"Content-Type": "image/png"})
        wait_until(lambda: gated.engine and gated.engine.begun)
        refused(detect(client, body), 503, "Queue full")  # with the form around it, it does not fit
        gated.gate.set()
        assert holding.result().status_code == 200
        assert detect(client, body).status_code == 200


def test_too_many_files_are_refused(repository: Repository, toy: Package) -> None:
    assert toy
    with serving(repository, max_files=2) as client:
        image = png(flat(9))
        assert detect(client, image, image).status_code == 200
        assert "Maximum number of files is 2" in refused(detect(client, image, image, image), 400, "Bad request")


def test_images_beyond_the_limits_are_refused(repository: Repository, toy: Package) -> None:
    assert toy
    with serving(repository, max_image_pixels=4096, max_image_bytes=5000) as client:
        assert detect(client, png(flat(9))).status_code == 200
        refused(detect(client, png(flat(9, size=(64, 65)))), 413, "Image too large")


def test_unknown_addresses_and_methods_are_problems(client: TestClient) -> None:
    refused(client.get("/nothing"), 404, "Not Found")
    response = client.get("/detect")
    refused(response, 405, "Method Not Allowed")
    assert response.headers["allow"] == "POST"
    assert "there is: toy" in refused(client.get("/models/tyo"), 404, "No such model")


def test_a_model_that_fails_is_told_without_its_secrets(
    repository: Repository, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    with serving(repository, fake_engine.load, max_batch=4) as client:
        assert "poison" not in refused(detect(client, png(flat(POISON))), 500, "Internal error")
        assert "poisoned image" in caplog.text
        assert detect(client, png(flat(9))).status_code == 200


# Overload and time


def wait_until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_a_full_queue_is_told_with_the_time_to_come_back(repository: Repository, publish: Publish) -> None:
    publish()
    gated = Gated()
    settings = {"queue_size": 1, "max_files": 1, "workers": 1, "warm_up": False}
    with serving(repository, gated, **settings) as client, ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(detect, client, png(flat(n))) for n in range(8)]
        wait_until(lambda: sum(answer.done() for answer in answers) == 6)  # one runs, one waits
        early = [answer.result() for answer in answers if answer.done()]
        gated.gate.set()
        assert sorted(answer.result().status_code for answer in answers) == [200, 200, *[503] * 6]
        assert refused(early[0], 503, "Queue full")
        assert early[0].headers["retry-after"] == "1"


def test_those_who_come_while_the_engine_runs_share_a_batch_and_nothing_else(
    repository: Repository, publish: Publish
) -> None:
    publish()
    gated = Gated()
    with serving(repository, gated, max_batch=32, warm_up=False) as client, ThreadPoolExecutor(9) as pool:
        first = pool.submit(detect, client, png(flat(1)), score=0.5)
        wait_until(lambda: gated.engine and gated.engine.begun)
        asked = {(6 * n, n / 10) for n in range(2, 10)}
        others = {(red, score): pool.submit(detect, client, png(flat(red)), score=score) for red, score in asked}
        store = client.app_state["service"].store
        wait_until(lambda: next(iter(store._models.values()))._batcher.waiting == 8)
        gated.gate.set()
        assert first.result().status_code == 200
        for (red, score), answer in others.items():
            (found,) = answer.result().json()["results"][0]["detections"]
            assert (found["box"][0], found["score"]) == (red, pytest.approx(score))
        assert gated.engine is not None
        assert gated.engine.batches == [1, 8]


def test_who_goes_away_is_not_run(repository: Repository, publish: Publish) -> None:
    publish()
    gated = Gated()
    with serving(repository, gated, workers=1, warm_up=False) as client, ThreadPoolExecutor(1) as pool:
        staying = pool.submit(detect, client, png(flat(1)))
        wait_until(lambda: gated.engine and gated.engine.begun)
        arrived = [{"type": "http.request", "body": png(flat(2)), "more_body": False}, {"type": "http.disconnect"}]
        answered: list[Any] = []

        async def receive() -> Any:
            return arrived.pop(0)

        async def send(message: Any) -> None:
            answered.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/detect", "query_string": b"", "scheme": "http",
            "headers": [(b"content-type", b"image/png")], "state": dict(client.app_state),
        }  # fmt: skip
        assert client.portal is not None
        client.portal.call(client.app, scope, receive, send)
        gated.gate.set()
        assert staying.result().status_code == 200
        assert detect(client, png(flat(3))).status_code == 200
        assert gated.engine is not None
        assert gated.engine.batches == [1, 1]


def test_who_waits_too_long_is_told_and_does_not_run(repository: Repository, publish: Publish) -> None:
    publish()
    gated = Gated()
    with serving(repository, gated, timeout=0.3, workers=1) as client, ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(detect, client, png(flat(n))) for n in (1, 2)]
        for answer in answers:
            refused(answer.result(), 504, "Deadline exceeded")
        gated.gate.set()
        assert detect(client, png(flat(3))).status_code == 200
        assert gated.engine is not None
        assert gated.engine.batches == [1, 1], "the one that waited did not run"


# The rest of the face


def test_an_empty_repository_is_served_and_not_ready(repository: Repository) -> None:
    with serving(repository, ready=False) as client:
        wait_until(lambda: "lineage import" in client.get("/health/ready").text)
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")
        assert Health.model_validate(ready.json()).status == "not ready"
        assert client.get("/health/live").json() == {"status": "live"}
        assert client.get("/models").json() == {"models": [], "problems": []}
        assert "lineage import" in refused(detect(client, png(flat(1))), 404, "No such model")


def test_models_are_listed_with_versions_states_and_problems(repository: Repository, publish: Publish) -> None:
    publish()
    publish().model_path.unlink()
    publish("other")
    repository.set_alias("toy", "stable", 1)
    with serving(repository, fake_engine.load) as client:
        wait_until(lambda: "available" not in client.get("/models").text)
        listed = Models.model_validate(client.get("/models").json())
        other, toy = listed.models
        assert (other.name, other.default, toy.default, toy.aliases) == ("other", 1, 1, {"stable": 1})
        assert [(v.version, v.state) for v in toy.versions] == [(1, "loaded")]
        assert "toy@2" in listed.problems[0]
        shown = client.get("/models/toy").json()
        assert Model.model_validate(shown) == toy
        assert shown["card"]["class_names"] == ["red", "green", "blue"]


def test_the_docs_need_nothing_from_elsewhere(client: TestClient) -> None:
    response = client.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    assert "/detect" in response.text
    assert "src=" not in response.text
    assert "https://" not in response.text
    described = client.get("/openapi.json").json()
    assert {"/detect", "/models", "/models/{name}", "/health/live", "/health/ready"} == set(described["paths"])
    assert "multipart/form-data" in described["paths"]["/detect"]["post"]["requestBody"]["content"]


def test_the_playground_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"playground/app.js", "playground/style.css"} <= set(named)
    for address in named:
        assert address == "data:," or client.get(f"/{address}").status_code == 200
    for text in (page.text, client.get("/playground/app.js").text, client.get("/playground/style.css").text):
        assert "//" not in re.sub(r"(^|\s)// .*", "", text)  # no address of another machine; comments aside
    assert isinstance(client.get("/playground/samples/index.json").json(), list)
    assert client.get("/playground/../app.py").status_code == 404


def test_a_request_keeps_its_id(client: TestClient) -> None:
    sent = client.get("/health/live", headers={"X-Request-ID": "abc-1"})
    assert sent.headers["x-request-id"] == "abc-1"
    for nonsense in ("", "a b", "x" * 200, 'a"b'):
        answered = client.get("/health/live", headers={"X-Request-ID": nonsense}).headers["x-request-id"]
        assert answered != nonsense
        assert len(answered) == 32


def test_answers_are_plain_json_numbers(client: TestClient) -> None:
    text = detect(client, png(flat(255, 255, 255))).text
    assert "NaN" not in text
    assert json.loads(text)["results"][0]["detections"][0]["score"] == 1.0
