"""`lineage serve` as a process: start, batches, hostile clients, overload, and a graceful end."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import cv2
import numpy as np
import pytest
from httpx2 import Response

from model_zoo.contract.package import Repository
from tests.e2e.server import ROOT, TIMEOUT, Server
from tests.malformed_images import hostile_files
from tests.tiny_onnx import toy_card, toy_onnx

MEBIBYTE = 1 << 20
Publish = Callable[..., Path]


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """Publish a version of the toy model, `work` makes it slow; returns the repository."""

    def publish(name: str = "toy", work: int = 0) -> Path:
        card, source = toy_card(name, size=(256, 256)), tmp_path / "model.onnx"
        source.write_bytes(toy_onnx(card, work=work))
        Repository(tmp_path / "models").publish(card, {"model.onnx": source})
        return tmp_path / "models"

    return publish


@pytest.fixture
def server(publish: Publish) -> Iterator[Server]:
    with Server(publish()) as server:
        yield server.wait_until_ready()


def picture(seed: int, size: tuple[int, int] = (128, 128)) -> bytes:
    """A PNG of a color of its own."""
    color = np.random.default_rng(seed).integers(64, 256, 3, dtype=np.uint8)
    return cv2.imencode(".png", np.broadcast_to(color, (*size, 3)))[1].tobytes()


def detect(server: Server, image: bytes, **query: object) -> Response:
    return server.client.post("/detect", params=query, files={"file": ("image.png", image)})


def results(response: Response) -> list[dict[str, object]]:
    assert response.status_code == 200, response.text
    return list(response.json()["results"])


def check_problem(response: Response, sent: object) -> None:
    assert 400 <= response.status_code < 500, (sent, response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json", sent
    assert {"type", "title", "status", "detail"} <= response.json().keys(), sent
    assert response.json()["status"] == response.status_code


# Start and end


def test_it_starts_light_and_without_torch(server: Server) -> None:
    assert server.cpu_seconds() < 3, "it must answer within 3 s of start"
    assert results(detect(server, picture(1)))
    assert "libtorch" not in server.loaded_files()
    assert "/torch/" not in server.loaded_files()


def test_an_empty_repository_is_told_and_filled_while_it_runs(tmp_path: Path, publish: Publish) -> None:
    with Server(tmp_path / "models", poll=0.1) as server:
        assert server.client.get("/health/live").status_code == 200
        while "lineage import" not in (ready := server.client.get("/health/ready")).text:
            assert ready.status_code == 503
        assert "lineage import" in server.log
        publish()
        server.wait_until_ready()
        assert results(detect(server, picture(1)))


def test_without_a_repository_it_serves_the_model_it_comes_with_until_there_is_another(
    tmp_path: Path, publish: Publish
) -> None:
    (tmp_path / "home").mkdir()
    with Server(None, tmp_path / "home", poll=0.1) as server:
        server.wait_until_ready()
        sample = next((ROOT / "service" / "web" / "static" / "playground" / "samples").glob("*.jpg"))
        answer = detect(server, sample.read_bytes()).json()
        assert answer["model"] == {"name": "ui-elements", "version": 1}
        assert answer["results"][0]["image"]["width"] > 0
        publish().rename(tmp_path / "home" / "models")
        server.wait_for_log(re.compile("loaded toy@1"))
        while (response := detect(server, picture(1))).json()["model"]["name"] != "toy":
            assert response.status_code == 200


def test_a_new_version_takes_over_without_a_refused_request(publish: Publish) -> None:
    with Server(publish(), poll=0.1) as server:
        server.wait_until_ready()
        publish()
        versions = [1]
        while versions[-1] != 2:
            answer = detect(server, picture(1))
            assert answer.status_code == 200, answer.text
            versions.append(answer.json()["model"]["version"])
        assert versions == sorted(versions)


def test_on_sigterm_it_answers_what_was_accepted_and_ends_well(publish: Publish) -> None:
    with Server(publish(work=500), workers=1) as server, ExitStack() as connections:
        server.wait_until_ready()
        accepted = [connections.enter_context(closing(send(server, picture(n)))) for n in range(4)]
        last = connections.enter_context(closing(HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)))
        last.request("GET", "/health/live")  # taken last: all were read when it is answered
        assert last.getresponse().status == 200
        server.process.send_signal(signal.SIGTERM)
        assert [connection.getresponse().status for connection in accepted] == [200] * 4
        assert server.process.wait(TIMEOUT) == 0
        assert "shutdown complete: all accepted requests were answered" in server.log
        with pytest.raises(ConnectionRefusedError):
            send(server, picture(1))


def send(server: Server, image: bytes) -> HTTPConnection:
    """Send a request whole and return the connection, its answer unread."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
    connection.request("POST", "/detect", image, {"Content-Type": "image/png"})
    return connection


# Batches


@pytest.mark.parametrize("size", [2, 8, 32])
def test_an_image_is_answered_alike_alone_and_among_others(publish: Publish, size: int) -> None:
    """The others have other pixels, other shapes and other thresholds."""
    with Server(publish(), max_batch=32, max_delay_ms=50, workers=1, shapes="buckets") as server:
        server.wait_until_ready()
        asked = [
            (picture(n, (128, 128) if n % 4 else (72, 128)), {"score": 0.01 + n / 150, "iou": n / 31, "nms": "iou"})
            for n in range(size)
        ]
        alone = [results(detect(server, image, **query)) for image, query in asked]
        assert len({json.dumps(result) for result in alone}) == size, "the toy tells them apart"
        order = random.Random(size).sample(range(size), size)
        for _ in range(3):
            with ThreadPoolExecutor(size) as pool:
                together = list(pool.map(lambda n: results(detect(server, asked[n][0], **asked[n][1])), order))
            assert together == [alone[n] for n in order]


def test_many_files_of_one_request_keep_their_order(publish: Publish) -> None:
    with Server(publish(), max_batch=8, max_delay_ms=20) as server:
        server.wait_until_ready()
        images = [picture(n) for n in range(32)]
        answered = results(server.client.post("/detect", files=[("file", (f"{n}", i)) for n, i in enumerate(images)]))
        assert [result["file"] for result in answered] == [str(n) for n in range(32)]
        for result, image in zip(answered, images, strict=True):
            assert result["detections"] == results(detect(server, image))[0]["detections"]


# Overload and slow clients


def test_when_the_queue_is_full_it_says_when_to_come_back(publish: Publish) -> None:
    with Server(publish(work=1000), workers=1, queue_size=2, max_files=1) as server, ThreadPoolExecutor(12) as pool:
        server.wait_until_ready()
        answers = list(pool.map(lambda n: detect(server, picture(n)), range(12)))
        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(refused) < 12
        assert {(answer.status_code, answer.headers["retry-after"]) for answer in refused} == {(503, "1")}
        assert {answer.json()["title"] for answer in refused} == {"Inference queue full"}
        assert results(detect(server, picture(1))), "it takes requests again"


def test_slow_clients_hold_up_nobody_and_are_told_in_the_end(publish: Publish) -> None:
    head = b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"
    with Server(publish(), timeout=1) as server:
        server.wait_until_ready()
        slow = [socket.create_connection(("127.0.0.1", server.port), TIMEOUT) for _ in range(100)]
        for n, connection in enumerate(slow):
            connection.sendall(head + b"x" if n % 2 else head[:20])
        assert results(detect(server, picture(1)))
        assert b"408 Request Timeout" in slow[1].recv(1000)
        for connection in slow:
            connection.close()


# Hostile clients


def hostile_requests() -> Iterator[tuple[str, dict[str, object]]]:
    """Requests that cannot be answered: (name, arguments of `Client.request`)."""
    good = {"file": ("a.png", picture(1))}
    for n, file in enumerate(file for file in hostile_files() if file.refused):
        raw = {"content": file.data, "headers": {"Content-Type": "image/jpeg"}}
        yield f"file {file.name}", raw if n % 2 else {"files": {"file": ("a.jpg", file.data)}}
    for name, values in {
        "score": ["nan", "inf", "-inf", "-1", "1.1", "1e308", "", "0x1", "١٢", "null", "true", "0.5;", "9" * 5000],
        "iou": ["nan", "2", "-0.0001", "abc"],
        "nms": ["", "soft", "DIOU", "1"],
        "classes": ["nobody", "-1", "3", "1e3", ",", "\0", "9" * 5000, "x" * 999],
        "max_detections": ["0", "-1", "4", "1e9", "1.5", "9" * 400, "nan"],
        "model": [
            "",
            "nobody",
            "toy@2",
            "toy@0",
            "toy@-1",
            "toy@",
            "@",
            "../toy",
            "toy/1",
            "\0",
            "\n",
            "é",
            "x" * 9000,
        ],
        "scor": ["0.5"],
        "__proto__": ["1"],
    }.items():
        for value in values:
            yield f"{name}={value[:20]!r}", {"files": good, "params": {name: value}}
    for kind in (
        "",
        "text/plain",
        "application/json",
        "multipart/mixed; boundary=x",
        "multipart/form-data",
        "image",
        "multipart/form-data;;",
    ):
        yield f"content type {kind!r}", {"content": picture(1), "headers": {"Content-Type": kind}}
    yield "too many files", {"files": [("file", ("a", picture(1)))] * 33}
    yield "another field", {"files": {"image": ("a.png", picture(1))}}
    yield "a text field", {"files": good, "data": {"score": "0.5"}}
    yield "no file", {"data": {"a": "b"}}
    yield "nothing", {}
    yield "two drawn", {"files": [("file", ("a", picture(1)))] * 2, "headers": {"Accept": "image/jpeg"}}
    yield "not acceptable", {"files": good, "headers": {"Accept": "text/html"}}
    for n in range(20):
        noise = random.Random(n).randbytes(2000)
        body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + noise
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        yield f"noise {n}", {"content": noise, "headers": kind}
        yield f"noise in a part {n}", {"content": body + b"\r\n--x--\r\n", "headers": kind}


def test_hostile_requests_are_refused_each_and_leave_no_trace(server: Server) -> None:
    def attack() -> int:
        for name, arguments in requests:
            before = server.cpu_seconds()
            check_problem(server.client.post("/detect", **arguments), name)
            assert server.cpu_seconds() - before < 2, f"{name}: no refusal may take over 2 s"
        return server.memory()

    requests = list(hostile_requests())
    assert len(requests) >= 200
    _, settled, after = (attack() for _ in range(3))  # the allocator's pools reach their size in the first two
    assert after - settled < 16 * MEBIBYTE
    assert results(detect(server, picture(1)))
    assert "Traceback" not in server.log


def test_what_is_no_http_is_refused(server: Server) -> None:
    for sent in (
        b"garbage\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (1 << 20),
    ):
        head, _, body = talk(server, sent).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400"), (sent[:80], head)
        assert b"application/problem+json" in head
        assert json.loads(body)["status"] == 400


def test_a_body_that_never_ends_is_refused_and_not_kept(publish: Publish) -> None:
    with Server(publish(), max_body=MEBIBYTE) as server:
        server.wait_until_ready()
        before = server.memory()
        chunk = b"100000\r\n" + bytes(MEBIBYTE) + b"\r\n"
        head = b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert talk(server, head + 100 * chunk + b"0\r\n\r\n", end=True).startswith(b"HTTP/1.1 413")
        lie = b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 10000000000\r\n\r\n"
        assert talk(server, lie).startswith(b"HTTP/1.1 413")
        assert server.memory() - before < 32 * MEBIBYTE


def talk(server: Server, sent: bytes, *, end: bool = False) -> bytes:
    """Send bytes on a connection of their own; return what comes back first, or all until the server has read all."""
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as connection:
        connection.sendall(sent)
        received = connection.recv(1 << 16)
        while not end and b"}" not in received and (more := connection.recv(1 << 16)):
            received += more
        return received
