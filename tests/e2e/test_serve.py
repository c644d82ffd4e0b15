"""`lineage serve` as a process: start, batches, overload, malicious clients, graceful shutdown."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest
from httpx2 import Response

from tests.e2e.server import ROOT, TIMEOUT, Server
from tests.e2e.toy_server import image_of, publish_toy
from tests.malformed_images import malformed_files

MEBIBYTE = 1 << 20
Publish = Callable[..., Path]


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    return partial(publish_toy, tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the tests that do not change it."""
    with Server(publish_toy(tmp_path_factory.mktemp("server"))) as server:
        yield server.wait_until_ready()


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


# Start and shutdown


def test_server_starts_within_3_s_and_without_torch(publish: Publish) -> None:
    with Server(publish()) as server:
        server.wait_until_ready()
        assert server.cpu_seconds() < 3, "must be ready within 3 s of CPU time"
        assert results(detect(server, image_of(1)))
        assert "libtorch" not in server.loaded_files()
        assert "/torch/" not in server.loaded_files()


def test_second_interrupt_stops_at_once_and_says_what_was_lost(publish: Publish) -> None:
    with Server(publish()) as server, socket.create_connection(("127.0.0.1", server.port)) as slow:
        server.wait_until_ready()
        slow.sendall(b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n")
        assert server.client.get("/health/live").status_code == 200  # the other request is being read
        server.process.send_signal(signal.SIGINT)
        while _accepts(server.port):
            pass
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(TIMEOUT) == 0
        server.wait_for_log(re.compile("accepted requests without an answer: 1"))
        assert "Traceback" not in server.log
        assert "all accepted requests" not in server.log


def _accepts(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def test_empty_repository_can_be_filled_while_serving(tmp_path: Path, publish: Publish) -> None:
    with Server(tmp_path / "models", poll=0.1) as server:
        assert server.client.get("/health/live").status_code == 200
        while "lineage import" not in (ready := server.client.get("/health/ready")).text:
            assert ready.status_code == 503
        assert "lineage import" in server.log
        publish()
        server.wait_until_ready()
        assert results(detect(server, image_of(1)))


def test_bundled_model_is_served_until_there_is_another(tmp_path: Path, publish: Publish) -> None:
    (tmp_path / "home").mkdir()
    with Server(None, tmp_path / "home", poll=0.1) as server:
        server.wait_until_ready()
        sample = next((ROOT / "service" / "web" / "static" / "playground" / "samples").glob("*.jpg"))
        answer = detect(server, sample.read_bytes()).json()
        assert answer["model"] == {"name": "ui-elements", "version": 1}
        assert answer["results"][0]["image"]["width"] > 0
        publish().rename(tmp_path / "home" / "models")
        server.wait_for_log(re.compile("loaded toy@1"))
        while (response := detect(server, image_of(1))).json()["model"]["name"] != "toy":
            assert response.status_code == 200


def test_new_version_is_swapped_in_without_a_failed_request(publish: Publish) -> None:
    with Server(publish(), poll=0.1) as server:
        server.wait_until_ready()
        publish()
        versions = [1]
        while versions[-1] != 2:
            answer = detect(server, image_of(1))
            assert answer.status_code == 200, answer.text
            versions.append(answer.json()["model"]["version"])
        assert versions == sorted(versions)


def test_sigterm_answers_accepted_requests(publish: Publish) -> None:
    with Server(publish(work=500), workers=1) as server, ExitStack() as connections:
        server.wait_until_ready()
        accepted = [connections.enter_context(closing(send(server, image_of(n)))) for n in range(4)]
        last = connections.enter_context(closing(HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)))
        last.request("GET", "/health/live")  # sent last: all others have been read once it is answered
        assert last.getresponse().status == 200
        server.process.send_signal(signal.SIGTERM)
        assert [connection.getresponse().status for connection in accepted] == [200] * 4
        assert server.process.wait(TIMEOUT) == 0
        assert "shutdown complete: all accepted requests were answered" in server.log
        with pytest.raises(ConnectionRefusedError):
            send(server, image_of(1))


def send(server: Server, image: bytes) -> HTTPConnection:
    """Send a complete request and return the connection, with the response unread."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
    connection.request("POST", "/detect", image, {"Content-Type": "image/png"})
    return connection


# Batches


@pytest.mark.parametrize("size", [8, *(pytest.param(size, marks=pytest.mark.slow) for size in (2, 32))])
def test_results_do_not_depend_on_the_batch(publish: Publish, size: int) -> None:
    """The images of a batch have different pixels, shapes and thresholds."""
    with Server(publish(), max_batch=32, max_delay_ms=50, workers=1, shapes="buckets") as server:
        server.wait_until_ready()
        requests = [
            (image_of(n, (128, 128) if n % 4 else (72, 128)), {"score": 0.01 + n / 150, "iou": n / 31, "nms": "iou"})
            for n in range(size)
        ]
        single = [results(detect(server, image, **query)) for image, query in requests]
        assert len({json.dumps(result) for result in single}) == size, "the toy model distinguishes all images"
        order = random.Random(size).sample(range(size), size)
        for _ in range(3):
            with ThreadPoolExecutor(size) as pool:
                batched = list(pool.map(lambda n: results(detect(server, requests[n][0], **requests[n][1])), order))
            assert batched == [single[n] for n in order]


def test_files_of_a_request_keep_their_order(publish: Publish) -> None:
    with Server(publish(), max_batch=8, max_delay_ms=20) as server:
        server.wait_until_ready()
        images = [image_of(n) for n in range(32)]
        answered = results(server.client.post("/detect", files=[("file", (f"{n}", i)) for n, i in enumerate(images)]))
        assert [result["file"] for result in answered] == [str(n) for n in range(32)]
        for result, image in zip(answered, images, strict=True):
            assert result["detections"] == results(detect(server, image))[0]["detections"]


# Overload and slow clients


def test_full_queue_is_refused_with_retry_after(publish: Publish) -> None:
    with Server(publish(work=1000), workers=1, queue_size=2, max_files=1) as server, ThreadPoolExecutor(12) as pool:
        server.wait_until_ready()
        answers = list(pool.map(lambda n: detect(server, image_of(n)), range(12)))
        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(refused) < 12
        assert {(answer.status_code, answer.headers["retry-after"]) for answer in refused} == {(503, "1")}
        assert {answer.json()["title"] for answer in refused} <= {"Decode queue full", "Inference queue full"}
        assert results(detect(server, image_of(1))), "accepts requests again"


def test_slow_clients_time_out_and_do_not_block_others(publish: Publish) -> None:
    head = b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"
    with Server(publish(), timeout=1) as server:
        server.wait_until_ready()
        slow = [socket.create_connection(("127.0.0.1", server.port), TIMEOUT) for _ in range(100)]
        for n, connection in enumerate(slow):
            connection.sendall(head + b"x" if n % 2 else head[:20])
        assert results(detect(server, image_of(1)))
        assert b"408 Request Timeout" in slow[1].recv(1000)
        for connection in slow:
            connection.close()


# Malicious clients


def bad_requests() -> Iterator[tuple[str, dict[str, object]]]:
    """Requests that must be refused: (name, arguments of `Client.request`)."""
    good = {"file": ("a.png", image_of(1))}
    for n, file in enumerate(file for file in malformed_files() if file.refused):
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
        yield f"content type {kind!r}", {"content": image_of(1), "headers": {"Content-Type": kind}}
    yield "too many files", {"files": [("file", ("a", image_of(1)))] * 33}
    yield "another field", {"files": {"photo": ("a.png", image_of(1))}}
    yield "a text field", {"files": good, "data": {"score": "0.5"}}
    yield "no file", {"data": {"a": "b"}}
    yield "nothing", {}
    yield "two drawn", {"files": [("file", ("a", image_of(1)))] * 2, "headers": {"Accept": "image/jpeg"}}
    yield "not acceptable", {"files": good, "headers": {"Accept": "text/html"}}
    for n in range(20):
        noise = random.Random(n).randbytes(2000)
        body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + noise
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        yield f"noise {n}", {"content": noise, "headers": kind}
        yield f"noise in a part {n}", {"content": body + b"\r\n--x--\r\n", "headers": kind}


def test_bad_requests_are_refused_without_leaks(server: Server) -> None:
    def attack() -> int:
        for name, arguments in requests:
            before = server.cpu_seconds()
            check_problem(server.client.post("/detect", **arguments), name)
            assert server.cpu_seconds() - before < 2, f"{name}: a refusal must take less than 2 s"
        return server.memory()

    requests = list(bad_requests())
    assert len(requests) >= 200
    _, settled, after = (attack() for _ in range(3))  # the first two fill the allocator's pools
    assert after - settled < 16 * MEBIBYTE
    assert results(detect(server, image_of(1)))
    assert "Traceback" not in server.log


def test_malformed_http_is_refused(server: Server) -> None:
    for sent in (
        b"garbage\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ):
        check_refused(server, sent, 400)
    check_refused(server, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (1 << 20), 431)


def check_refused(server: Server, sent: bytes, status: int) -> None:
    head, _, body = talk(server, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % status), (sent[:80], head)
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status


def test_endless_body_is_refused_and_not_stored(publish: Publish) -> None:
    with Server(publish(), max_body=MEBIBYTE) as server:
        server.wait_until_ready()
        before = server.memory()
        chunk = b"100000\r\n" + bytes(MEBIBYTE) + b"\r\n"
        head = b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert talk(server, head + 100 * chunk + b"0\r\n\r\n", end=True).startswith(b"HTTP/1.1 413")
        lie = b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 10000000000\r\n\r\n"
        assert talk(server, lie).startswith(b"HTTP/1.1 413")
        assert server.memory() - before < 32 * MEBIBYTE


def test_unknown_model_is_refused_before_the_body_arrives(server: Server) -> None:
    head = (
        b"POST /detect?model=unknown HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n"
    )
    received = talk(server, head)
    assert received.startswith(b"HTTP/1.1 404")
    assert b"No such model" in received
    assert b"100 Continue" not in talk(server, head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))


def talk(server: Server, sent: bytes, *, end: bool = False) -> bytes:
    """Send bytes on a new connection and return the response, or with `end` only what has arrived after sending."""
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as connection:
        connection.sendall(sent)
        received = connection.recv(1 << 16)
        while not end and b"}" not in received and (more := connection.recv(1 << 16)):
            received += more
        return received
