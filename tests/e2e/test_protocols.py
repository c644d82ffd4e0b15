"""All protocols report the detections of `POST /detect`: one image, 32 at a time, and beside broken requests."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from model_zoo.contract.card import ModelCard
from model_zoo.contract.repository import Repository
from service.inference.bundled import BUNDLED_REPOSITORY
from tests.conftest import ROOT, SHARED
from tests.e2e.client_protocols import CLIENT_PROTOCOLS, Addresses, ClientProtocol
from tests.e2e.protocols import LABEL_STUDIO, NATIVE, OIP_TENSORS, PROTOCOLS, Found, Protocol, Sample
from tests.e2e.server import Server
from tests.tiny_onnx import toy_card, toy_onnx

CONCURRENCY = 32
BROKEN = b"\xff\xd8 no image"
SAMPLES = ROOT / "service" / "web" / "static" / "playground" / "samples"
GRPC = re.compile(r"listening on grpc://(127\.0\.0\.1:\d+)")
ZMQ = re.compile(r"listening on (tcp://127\.0\.0\.1:\d+)")
LISTENERS = {"grpc_port": 0, "zmq": "tcp://127.0.0.1:*"}
protocols = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
client_protocols = pytest.mark.parametrize("protocol", CLIENT_PROTOCOLS, ids=lambda protocol: protocol.name)


class Case:
    """A server with one model, images, and their detections by `POST /detect`."""

    def __init__(self, server: Server, card: ModelCard, images: Sequence[bytes]) -> None:
        self.server, self.card = server, card
        self.samples = [Sample.of(image) for image in images]
        self.expected = [NATIVE.detect(server.client, card, [sample])[0] for sample in self.samples]
        assert all(self.expected)
        http = f"http://127.0.0.1:{server.port}"
        self.addresses = Addresses(http, server.wait_for_log(GRPC)[1], server.wait_for_log(ZMQ)[1])

    def check_client(self, protocol: ClientProtocol, numbers: Sequence[int]) -> None:
        """Ask for images in one request of a client."""
        found = protocol.detect(self.addresses, self.card, [self.samples[number] for number in numbers])
        expected = [[one for one in self.expected[number] if one.score > protocol.min_score] for number in numbers]
        assert_same(found, [detections[: protocol.max_detections] for detections in expected], protocol.pixels)

    def check(self, protocol: Protocol, numbers: Sequence[int]) -> None:
        """Ask for images in one request."""
        found = protocol.detect(self.server.client, self.card, [self.samples[number] for number in numbers])
        assert_same(found, [self.expected[number] for number in numbers], protocol.pixels)

    def check_refusal(self, protocol: Protocol) -> None:
        """Send a broken image, or a cut body where images may be anything or are skipped."""
        broken = Sample(BROKEN, self.samples[0].pixels)
        call = protocol.request(self.card, [broken])
        if protocol in (OIP_TENSORS, LABEL_STUDIO):
            call = type(call)(call.path, call.body[:-1], call.headers)
        response = call.send(self.server.client)
        assert 400 <= response.status_code < 500, (protocol.name, response.text)
        assert isinstance(response.json(), dict)
        assert protocol.error_text(response.json()), protocol.name


def assert_same(found: Sequence[Sequence[Found]], expected: Sequence[Sequence[Found]], pixels: float) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert [one.label for one in ours] == [one.label for one in theirs]
        np.testing.assert_allclose([one.score for one in ours], [one.score for one in theirs], atol=1e-4)
        np.testing.assert_allclose([one.box for one in ours], [one.box for one in theirs], rtol=0, atol=pixels)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """The toy model and six images of different sizes and colors."""
    folder, card = tmp_path_factory.mktemp("protocols"), toy_card(size=(256, 256))
    (folder / "model.onnx").write_bytes(toy_onnx(card))
    Repository(folder / "models").publish(card, {"model.onnx": folder / "model.onnx"})
    rng = np.random.default_rng(0)
    images = []
    for width, height in ((200, 100), (64, 64), (300, 400), (257, 31), (640, 480), (90, 121)):
        color = rng.choice(np.arange(96, 256, 16), 3, replace=False).astype(np.uint8)
        images.append(cv2.imencode(".jpg", np.broadcast_to(color, (height, width, 3)))[1].tobytes())
    with Server(folder / "models", **LISTENERS) as server:
        yield Case(server.wait_until_ready(), card, images)


@protocols
def test_one_image(protocol: Protocol, toy: Case) -> None:
    for number in range(len(toy.samples)):
        toy.check(protocol, [number])


@protocols
def test_32_images_in_one_request(protocol: Protocol, toy: Case) -> None:
    if protocol.takes_several:
        toy.check(protocol, [number % len(toy.samples) for number in range(32)])


@client_protocols
def test_one_image_of_a_client(protocol: ClientProtocol, toy: Case) -> None:
    for number in range(len(toy.samples)):
        toy.check_client(protocol, [number])


@client_protocols
def test_32_images_in_one_request_of_a_client(protocol: ClientProtocol, toy: Case) -> None:
    if protocol.takes_several:
        toy.check_client(protocol, [number % len(toy.samples) for number in range(32)])


def run_all_at_once(case: Case, rounds: int) -> None:
    """Ask all protocols, 32 requests at a time, with a broken request after every second one."""
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        tasks = []
        for number in range(rounds):
            for protocol in PROTOCOLS:
                tasks.append(pool.submit(case.check, protocol, [number % len(case.samples)]))
                if number % 2:
                    tasks.append(pool.submit(case.check_refusal, protocol))
            for client in CLIENT_PROTOCOLS:
                tasks.append(pool.submit(case.check_client, client, [number % len(case.samples)]))
        for task in tasks:
            task.result()


def test_all_protocols_at_once_beside_broken_requests(toy: Case) -> None:
    run_all_at_once(toy, 6)


# The same with real networks


def real_images() -> list[bytes]:
    """Return six images of COCO, or the samples of the bundled model without the reference data."""
    folder = SHARED / "data" / "coco_mini" / "images"
    return [path.read_bytes() for path in sorted((folder if folder.is_dir() else SAMPLES).glob("*.jpg"))[:6]]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """The official yolov5n and six images of COCO, or the bundled model and its samples without the reference data."""
    weights, repository = SHARED / "weights" / "yolov5n.pt", BUNDLED_REPOSITORY.root
    if weights.is_file():
        repository = tmp_path_factory.mktemp("real") / "models"
        command = [sys.executable, "-m", "lineage", "import", weights, "--name", "yolov5n", "--repository", repository]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [package] = [Repository(Path(repository)).resolve(name) for name in Repository(Path(repository)).names()]
    with Server(repository, queue_size=512, timeout=300, **LISTENERS) as server:
        yield Case(server.wait_until_ready(), package.card, real_images())


@pytest.mark.slow
@protocols
def test_real_images_one_and_32_at_a_time(protocol: Protocol, real: Case) -> None:
    for number in range(len(real.samples)):
        real.check(protocol, [number])
    if protocol.takes_several:
        real.check(protocol, [number % len(real.samples) for number in range(32)])


@pytest.mark.slow
@client_protocols
def test_real_images_one_and_32_at_a_time_of_a_client(protocol: ClientProtocol, real: Case) -> None:
    for number in range(len(real.samples)):
        real.check_client(protocol, [number])
    if protocol.takes_several:
        real.check_client(protocol, [number % len(real.samples) for number in range(32)])


@pytest.mark.slow
def test_real_images_at_once_beside_broken_requests(real: Case) -> None:
    run_all_at_once(real, 6)
