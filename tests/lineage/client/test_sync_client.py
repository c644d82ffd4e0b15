"""The client on bad networks, with keys and TLS, in many threads."""

from __future__ import annotations

import gc
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import lineage
from lineage.client import (
    AccessDenied,
    Client,
    DeadlineExceeded,
    ImageError,
    ImageResult,
    ModelNotFound,
    TLSError,
    Unavailable,
)
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.access.key_file import add_key
from tests.e2e.server import Server
from tests.lineage.client.conftest import tls_server
from tests.lineage.client.scripted_server import Action, Scripted, answer, cut, problem, reset, scripted_server
from tests.service.app_client import png
from tests.service.conftest import flat
from tests.service.deploy.certificates import make_certificate, needs_openssl
from tests.service.deploy.wire import listening
from tests.videos import frame_of, write_video

IMAGE = png(flat(200, 100, 0))


@pytest.mark.parametrize(
    "actions",
    [
        [reset, reset],
        [cut],
        [problem(503, "Not ready", Retry_After="0")],
        [problem(429, "Rate limit reached"), answer(502, b"<html>"), reset],
    ],
    ids=["reset", "cut", "not-ready", "mixed"],
)
def test_what_passes_by_itself_is_tried_again(scripted: Scripted, actions: list[Action]) -> None:
    scripted.script(*actions, answer())
    with Client(scripted.url) as client:
        assert client.detect(IMAGE).labels == ["green"]
    assert [request.body for request in scripted.received] == [IMAGE] * (len(actions) + 1)


def test_files_of_several_images_are_sent_again_whole(scripted: Scripted) -> None:
    scripted.script(reset, problem(503, "Inference queue full", Retry_After="0"), problem(500, "Internal error"))
    with Client(scripted.url) as client, pytest.raises(Exception, match="3 tries"):
        client.detect([IMAGE, IMAGE])
    assert {request.body.count(IMAGE) for request in scripted.received} == {2}


def test_retry_after_is_honored(scripted: Scripted) -> None:
    scripted.script(problem(503, "Wait too long", Retry_After="1"), answer())
    start = time.monotonic()
    with Client(scripted.url) as client:
        client.detect(IMAGE)
    assert time.monotonic() - start >= 1
    first, second = (float(request.headers["X-Request-Timeout"]) for request in scripted.received)
    assert second <= first - 1


def test_server_that_hangs_or_drips_is_left_at_the_timeout(scripted: Scripted) -> None:
    for action in (scripted.hang, scripted.drip):
        scripted.script(action)
        start = time.monotonic()
        with Client(scripted.url, timeout=0.3) as client, pytest.raises(DeadlineExceeded, match=r"within 0\.3 s"):
            client.detect(IMAGE)
        assert 0.25 < time.monotonic() - start < 5


def test_nothing_is_lost_while_a_server_restarts() -> None:
    with scripted_server() as first:
        port = int(first.url.rpartition(":")[2])
        client = Client(first.url)
        results = client.detect_many([IMAGE] * 12, batch_size=1, concurrency=3)
        got = [next(results)]
        first.script(reset)
    with scripted_server(port) as second, client:
        got += results
        assert second.received
    assert [isinstance(result, ImageResult) for result in got] == [True] * 12


@pytest.mark.slow
def test_nothing_is_lost_while_a_real_server_is_killed(toy_package: Package) -> None:
    images: Sequence[bytes] = [png(flat(i, 0, 0)) for i in range(1, 250)]
    with Server(toy_package.path.parents[1]).wait_until_ready() as server:
        client = Client(f"http://127.0.0.1:{server.port}")
        expected = [result.to_dict() for result in map(client.detect, images)]
        port, results = server.port, client.detect_many(images, batch_size=1)
        got = [next(results) for _ in range(20)]
    with Server(toy_package.path.parents[1], port=port), client:
        got += results
    assert [result.to_dict() for result in got if isinstance(result, ImageResult)] == expected


def test_nobody_listens() -> None:
    with Client("http://127.0.0.1:9", retries=2) as client, pytest.raises(Unavailable, match=r"refused \(3 tries\)"):
        client.detect(IMAGE)


def test_path_of_a_proxy_is_kept(scripted: Scripted) -> None:
    with Client(f"{scripted.url}/vision/") as client:
        client.detect(IMAGE, score=0.5, classes=["a b"])
    [request] = scripted.received
    assert request.path == "/vision/detect?score=0.5&classes=%22a+b%22"
    assert request.headers["User-Agent"].startswith("yolo-lineage")
    assert request.headers["Accept-Encoding"] == "identity"


def test_connections_are_kept(scripted: Scripted) -> None:
    ports = set()
    scripted.script(lambda handler: (ports.add(handler.client_address[1]), answer()(handler))[1])
    with Client(scripted.url) as client:
        for _ in range(5):
            client.detect(IMAGE)
    assert len(ports) == 1


def test_keys_are_sent_and_checked(toy_package: Package, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.json", "camera", ("detect",), None)
    with listening(Repository(toy_package.path.parents[1]), keys=tmp_path / "keys.json") as port:
        url = f"http://127.0.0.1:{port}"
        with Client(url, key) as client, Client(url, "wrong") as wrong, Client(url) as none:
            assert client.detect(IMAGE).model == "toy@1"
            assert none.ready()
            for denied in (wrong, none):
                with pytest.raises(AccessDenied, match="expected an API key"):
                    denied.detect(IMAGE)


@needs_openssl
def test_own_certificates_are_trusted_on_request(toy_package: Package, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with tls_server(toy_package, certificate, key) as port:
        with Client(f"https://127.0.0.1:{port}", verify=trusting) as client:
            client.wait_until_ready()
            assert client.detect(IMAGE).model == "toy@1"
        with Client(f"https://127.0.0.1:{port}") as client, pytest.raises(TLSError, match="certificate"):
            client.detect(IMAGE)


def test_threads_share_a_client(url: str) -> None:
    images = [png(flat(i, 0, 255 - i)) for i in range(1, 33)]
    with Client(url) as client, ThreadPoolExecutor(8) as threads:
        expected = [client.detect(image).to_dict() for image in images]
        assert [result.to_dict() for result in threads.map(client.detect, images)] == expected


def test_abandoned_iteration_leaves_no_thread(url: str) -> None:
    with Client(url) as client:
        results = client.detect_many([IMAGE] * 100, batch_size=1)
        next(results)
        assert threads_of_the_client()
        del results
        gc.collect()
    assert not threads_of_the_client()


def threads_of_the_client() -> list[threading.Thread]:
    """Return the threads of batches. The server is in this process, too."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("lineage_")]


def test_images_of_a_generator_are_read_as_needed(url: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing.jpg"
    with Client(url) as client:
        results = list(client.detect_many(image for image in [IMAGE, missing, IMAGE]))
    assert [isinstance(result, ImageError) for result in results] == [False, True, False]


def test_sizes_are_checked_at_the_call() -> None:
    with Client("http://host") as client:
        with pytest.raises(ValueError, match="batch_size"):
            client.detect_many([], batch_size=0)
        with pytest.raises(ValueError, match="concurrency"):
            client.detect_stream("clip.mp4", concurrency=0)


def test_frames_of_a_video_have_the_results_of_a_model(url: str, toy_package: Package, tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", map(frame_of, range(6)))
    with Client(url) as client, lineage.load(toy_package.model_path) as model:
        remote, local = list(client.detect_stream(path, score=0.1)), list(model.detect_stream(path, score=0.1))
    assert [(r.file, r.frame, r.time, r.labels) for r in remote] == [(r.file, r.frame, r.time, r.labels) for r in local]
    for theirs, ours in zip(remote, local, strict=True):
        assert np.abs(theirs.detections.boxes - ours.detections.boxes).max() < 1, "JPEG changes colors a little"
        assert theirs.plot().shape == (64, 64, 3)
    assert remote[0].model == toy_package.reference


def test_frame_that_cannot_be_sent_is_an_error_of_the_client(scripted: Scripted, tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", map(frame_of, range(2)))
    scripted.script(answer(), problem(404, "No such model"))
    with Client(scripted.url) as client:
        results = client.detect_stream(path, concurrency=1, model="toy")
        assert next(results).frame == 0
        with pytest.raises(ModelNotFound):
            next(results)
