"""The WebSocket for live images, over ASGI messages."""

from __future__ import annotations

import json
import logging
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.access.key_file import add_key, remove_key
from tests.service.app_client import check_problem, detect, png, serving, wait_until
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import GatedEngines, open_fake_engine

IMAGE = png(flat(200))


@contextmanager
def live(client: TestClient, query: str = "", **options: Any) -> Iterator[WebSocketTestSession]:
    with client.websocket_connect(f"/ws/detect{query}", **options) as socket:
        yield socket


def ask(socket: WebSocketTestSession, message: bytes | str) -> dict[str, Any]:
    send(socket, message)
    return json.loads(socket.receive_text())


def send(socket: WebSocketTestSession, message: bytes | str) -> None:
    if isinstance(message, bytes):
        socket.send_bytes(message)
    else:
        socket.send_text(message)


def count(client: TestClient, sample: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(sample))


def test_answer_has_the_detections_of_post_detect(client: TestClient) -> None:
    image = png(flat(200, 100, 50, (40, 80)))
    expected = detect(client, image, score=0.3).json()
    with live(client, "?score=0.3") as socket:
        answer = ask(socket, image)
    assert {answer["frame"], answer["model"], answer["version"]} == {0, "toy", 1}
    assert {"width": answer["width"], "height": answer["height"]} == expected["results"][0]["image"]
    assert answer["detections"] == expected["results"][0]["detections"] != []
    assert answer["timing_ms"].keys() == expected["timing_ms"].keys()


def test_newest_image_replaces_the_one_that_waits(publish: Publish, repository: Repository) -> None:
    publish()
    engines = GatedEngines()
    with serving(repository, engines, warm_up=False, verify_on_load=False) as client, live(client) as socket:
        dropped = count(client, 'lineage_live_images_total{result="dropped"}')
        send(socket, png(flat(0)))
        wait_until(lambda: engines.started == 1)
        for number in range(1, 6):
            send(socket, png(flat(number)))
        send(socket, "{")  # answered at once, so all images before it have arrived
        assert "error" in json.loads(socket.receive_text())
        engines.gate.set()
        answers = [json.loads(socket.receive_text()) for _ in range(2)]
        assert [answer["frame"] for answer in answers] == [0, 5]
        assert answers[1]["detections"][0]["box"][0] == 5
        assert count(client, 'lineage_live_images_total{result="dropped"}') == dropped + 4
        assert ask(socket, IMAGE)["frame"] == 6


def test_bad_image_is_an_error_with_its_number(client: TestClient) -> None:
    with live(client) as socket:
        answer = ask(socket, b"no image")
        assert (answer["frame"], answer["error"]["status"], answer["error"]["title"]) == (0, 415, "Unsupported image")
        assert answer["error"]["request_id"]
        assert ask(socket, IMAGE)["frame"] == 1


def test_text_changes_the_options_of_the_images_after_it(client: TestClient) -> None:
    with live(client, "?score=0.9&max_detections=1") as socket:
        assert ask(socket, IMAGE)["detections"] == []
        send(socket, '{"score": 0.3, "classes": ["red"]}')
        assert [found["label"] for found in ask(socket, IMAGE)["detections"]] == ["red"]
        send(socket, '{"score": null, "classes": ["green"]}')
        assert ask(socket, IMAGE)["detections"] == []
        send(socket, '{"model": "toy@7"}')
        assert ask(socket, IMAGE)["error"]["status"] == 404


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"conf": 0.4}', "conf: unknown parameter; did you mean score?"),
        ('{"score": "high"}', "score: expected a number; got 'high'"),
        ('{"classes": "red"}', "classes: expected a list"),
        ("[0.4]", "expected a JSON object such as"),
        ("score=0.4", "images are binary messages"),
        ('{"model": "' + "x" * 20_000 + '"}', "expected at most 16,384 characters"),
    ],
)
def test_malformed_options_change_nothing(client: TestClient, text: str, fault: str) -> None:
    with live(client, "?score=0.3") as socket:
        answer = ask(socket, text)
        assert list(answer) == ["error"]
        assert fault in answer["error"]["detail"]
        assert ask(socket, IMAGE)["detections"] != []


@pytest.mark.parametrize(("query", "fault"), [("?score=high", "query.score: expected a number"), ("?key=x", "header")])
def test_malformed_query_is_explained_and_closed(client: TestClient, query: str, fault: str) -> None:
    with live(client, query) as socket:
        assert fault in json.loads(socket.receive_text())["error"]["detail"]
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
        assert closed.value.code == 1008


def test_requests_without_a_handshake_get_426(client: TestClient) -> None:
    response = client.get("/ws/detect")
    assert "POST /detect" in check_problem(response, 426, "Upgrade required")
    assert response.headers["upgrade"] == "websocket"


def test_image_that_waits_too_long_is_dropped_without_an_error(publish: Publish, repository: Repository) -> None:
    publish()
    engines = GatedEngines()
    with serving(repository, engines, warm_up=False, verify_on_load=False) as client:
        with live(client, headers={"X-Request-Timeout": "0.05"}) as socket:
            send(socket, IMAGE)
            wait_until(lambda: count(client, 'lineage_live_images_total{result="dropped"}') == 1)
            engines.gate.set()
            wait_until(lambda: engines.batches)
            assert ask(socket, IMAGE)["frame"] == 1
        with pytest.raises(WebSocketDenialResponse) as refused, live(client, headers={"X-Request-Timeout": "soon"}):
            pass
        assert "X-Request-Timeout" in check_problem(refused.value, 400, "Bad request")


def test_images_beyond_the_memory_are_dropped(toy_package: Package) -> None:
    size = 2 * len(IMAGE)
    limits = {"max_pending": size, "max_body": size}
    with serving(Repository(toy_package.path.parents[1]), **limits) as client, live(client) as socket:
        send(socket, IMAGE + bytes(size))
        assert ask(socket, IMAGE)["frame"] == 1
        assert count(client, 'lineage_live_images_total{result="dropped"}') == 1
    assert client.app_state["service"].memory.free == size


def test_rate_limits_slow_a_stream_down(
    publish: Publish, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    waits = [0.0, 0.002, 0.001, 0.0]  # the first one is that of the handshake
    with serving(repository, open_fake_engine, rate_per_address=100) as client:
        limit = client.app_state["service"].access.address_limit
        with monkeypatch.context() as patched:
            patched.setattr(limit, "take", lambda _: waits.pop(0))
            with live(client) as socket:
                assert ask(socket, IMAGE)["frame"] == 0
    assert waits == []


class TestAccess:
    @pytest.fixture
    def keys(self, tmp_path: Path) -> Path:
        return tmp_path / "keys.json"

    @pytest.fixture
    def token(self, keys: Path) -> str:
        return add_key(keys, "camera", ("detect",))

    @pytest.fixture
    def guarded(self, keys: Path, token: str, toy_package: Package) -> Iterator[TestClient]:
        with serving(Repository(toy_package.path.parents[1]), keys=keys) as client:
            yield client

    def test_key_is_accepted_in_headers_and_as_a_subprotocol(self, guarded: TestClient, token: str) -> None:
        offered = ["lineage.detect", f"lineage.key.{encoded(token)}"]
        for options in ({"headers": {"Authorization": f"Bearer {token}"}}, {"subprotocols": offered}):
            with live(guarded, **options) as socket:
                assert ask(socket, IMAGE)["frame"] == 0
                assert socket.accepted_subprotocol == ("lineage.detect" if "subprotocols" in options else None)

    @pytest.mark.parametrize("offered", [[], ["lineage.key.!"], ["lineage.key.a"], ["lineage.key.bGluZWFnZQ"]])
    def test_other_handshakes_are_refused(self, guarded: TestClient, offered: list[str]) -> None:
        with pytest.raises(WebSocketDenialResponse) as refused, live(guarded, subprotocols=offered):
            pass
        assert "lineage.key.KEY" in check_problem(refused.value, 401, "Unauthorized")

    def test_removed_key_ends_the_connection(self, guarded: TestClient, keys: Path, token: str) -> None:
        with live(guarded, headers={"X-Api-Key": token}) as socket:
            ask(socket, IMAGE)
            remove_key(keys, "camera")
            wait_until(lambda: guarded.get("/models", headers={"X-Api-Key": token}).status_code == 401)
            send(socket, IMAGE)
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
            assert (closed.value.code, closed.value.reason) == (1008, "Unauthorized")

    def test_log_has_one_line_and_no_key(
        self, guarded: TestClient, token: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO), live(guarded, subprotocols=[f"lineage.key.{encoded(token)}"]) as socket:
            ask(socket, IMAGE)
            ask(socket, IMAGE)
        wait_until(lambda: "/ws/detect" in caplog.text)
        lines = [record for record in caplog.records if "/ws/detect" in record.getMessage()]
        assert [(line.fields["status"], line.fields["client"], line.fields["images"]) for line in lines] == [
            (101, "camera", 2)
        ]
        assert token not in caplog.text
        assert encoded(token) not in caplog.text


def encoded(token: str) -> str:
    return urlsafe_b64encode(token.encode()).decode().rstrip("=")
