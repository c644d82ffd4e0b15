"""YOLOv5's and Ultralytics' programs, rehearsed with tritonclient, find what POST /detect finds."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model_zoo.contract.images import decode_image
from tests.conftest import ROOT
from tests.e2e.server import Server
from tests.e2e.view_programs import DetectPy, Ultralytics, letterbox
from tests.service.conftest import SAMPLES

pytest.importorskip("tritonclient", reason="the programs use tritonclient")

GRPC = re.compile(r"listening on grpc://127\.0\.0\.1:(\d+)")
FLAGS: dict[str, object] = {
    "views": "yolov5,ultralytics",
    "grpc_port": 0,
    "shapes": "square",
    "provider": "cpu",
    "exact_decode": True,
}
DOCUMENT = (ROOT / "docs" / "clients.md").read_text()
BOTH_WAYS = [*itertools.product(("yolov5", "ultralytics"), ("http", "grpc"))]
Rows = NDArray[np.float32]
Find = Callable[[NDArray[np.uint8], float, float], Rows]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the bundled model, with the images that the programs send."""
    with Server(None, tmp_path_factory.mktemp("empty"), **FLAGS) as server:
        yield server.wait_until_ready()


@pytest.fixture(scope="module")
def official(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the official yolov5n, on square canvases, as the programs send."""
    exports = pytest.importorskip("tests.exports", reason="importing weights needs torch")
    models = exports.official_yolov5n(tmp_path_factory, shared).path.parents[1]
    with Server(models, **FLAGS) as server:
        yield server.wait_until_ready()


def url(server: Server, scheme: str) -> str:
    return f"{scheme}://127.0.0.1:{server.port if scheme == 'http' else server.wait_for_log(GRPC)[1]}"


def program(server: Server, name: str, scheme: str, model: str) -> Find:
    """Start one of the programs."""
    if name == "yolov5":
        detect_py = DetectPy(url(server, scheme))
        assert detect_py.model == f"{model}.yolov5"
        return detect_py
    ultralytics = Ultralytics(f"{url(server, scheme)}/{model}.ultralytics")
    return lambda image, conf, iou: ultralytics(image, conf=conf, iou=iou)[0]


def detect(server: Server, file: Path, conf: float, iou: float) -> Rows:
    query = {"score": conf, "iou": iou, "nms": "iou"}
    answer = server.client.post("/detect", params=query, files={"file": file.read_bytes()})
    assert answer.status_code == 200, answer.text
    found = answer.json()["results"][0]["detections"]
    return np.array([[*d["box"], d["score"], d["class_id"]] for d in found], np.float32).reshape(-1, 6)


def check_equal(rows: Rows, expected: Rows) -> None:
    """Compare detections of equal number. The answer of the service has 3 decimals in boxes and 6 in scores."""
    assert rows.shape == expected.shape
    rows, expected = (each[np.lexsort((*each[:, :4].round(1).T, -each[:, 4].round(4)))] for each in (rows, expected))
    np.testing.assert_allclose(rows[:, :4], expected[:, :4], atol=0.01)
    np.testing.assert_allclose(rows[:, 4], expected[:, 4], atol=1e-5)
    np.testing.assert_array_equal(rows[:, 5], expected[:, 5])


@pytest.mark.parametrize(("name", "scheme"), [("yolov5", "http"), ("ultralytics", "grpc")])
def test_a_program_finds_what_detect_finds(server: Server, name: str, scheme: str) -> None:
    file = SAMPLES / "wizard.jpg"
    assert f"{scheme}://127.0.0.1:8" in DOCUMENT
    assert f"--views {name}" in DOCUMENT
    assert "/ui-elements.ultralytics" in DOCUMENT
    find = program(server, name, scheme, "ui-elements")
    expected = detect(server, file, 0.25, 0.45)
    assert len(expected) > 5
    check_equal(find(decode_image(file.read_bytes()), 0.25, 0.45), expected)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scheme"), BOTH_WAYS)
def test_programs_find_what_detect_finds_on_photos(official: Server, shared: Path, name: str, scheme: str) -> None:
    find = program(official, name, scheme, "yolov5n")
    files = sorted((shared / "data" / "coco_mini" / "images").glob("*.jpg"))[:8]
    for file in files:
        for conf, iou in ((0.25, 0.45), (0.05, 0.7)):
            image = decode_image(file.read_bytes())
            check_equal(find(image, conf, iou), detect(official, file, conf, iou))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scheme"), BOTH_WAYS)
@pytest.mark.parametrize("image_id", ["000000303818", "000000456496"])
def test_programs_find_what_the_original_finds(
    official: Server, shared: Path, name: str, scheme: str, image_id: str
) -> None:
    expected = np.load(shared / "weights" / f"yolov5n_{image_id}_640.npz")["dets_image"]
    image = decode_image((shared / "data" / "coco_mini" / "images" / f"{image_id}.jpg").read_bytes())
    rows = program(official, name, scheme, "yolov5n")(image, 0.25, 0.45)
    order = np.argsort(-expected[:, 4], kind="stable")
    assert rows.shape == expected.shape
    np.testing.assert_allclose(rows[:, :4], expected[order, :4], atol=1)
    np.testing.assert_allclose(rows[:, 4], expected[order, 4], atol=0.01)
    np.testing.assert_array_equal(rows[:, 5], expected[order, 5])


@pytest.mark.slow
def test_every_class_of_a_box_counts_at_the_lowest_scores(official: Server, shared: Path) -> None:
    ultralytics = Ultralytics(f"{url(official, 'http')}/yolov5n.ultralytics")
    file = shared / "data" / "coco_mini" / "images" / "000000303818.jpg"
    (rows,) = ultralytics(decode_image(file.read_bytes()), conf=0.001, iou=0.6, multi_label=True)
    assert len({tuple(box) for box in rows[:, :4].tolist()}) < len(rows) == 300
    check_equal(rows, detect(official, file, 0.001, 0.6))


@pytest.mark.slow
def test_concurrent_requests_are_answered_as_single_ones(server: Server) -> None:
    ultralytics = Ultralytics(f"{url(server, 'http')}/ui-elements.ultralytics")
    tensors = [letterbox(decode_image(file.read_bytes()), (640, 640)).pixels for file in sorted(SAMPLES.glob("*.jpg"))]
    bodies = [*map(ultralytics.request_body, tensors), (b"{", 1)]

    def post(number: int) -> tuple[int, bytes]:
        body, json_size = bodies[number % len(bodies)]
        headers = {"Inference-Header-Content-Length": str(json_size)}
        answer = server.client.post("/v2/models/ui-elements.ultralytics/infer", content=body, headers=headers)
        return answer.status_code, answer.content if answer.status_code == 200 else b""

    expected = [post(number) for number in range(len(bodies))]
    assert [status for status, _ in expected] == [200] * len(tensors) + [400]
    with ThreadPoolExecutor(32) as pool:
        for number, answer in enumerate(pool.map(post, range(14 * len(bodies)))):
            assert answer == expected[number % len(bodies)]


@pytest.mark.slow
def test_a_batch_equals_its_images_one_by_one(server: Server) -> None:
    ultralytics = Ultralytics(f"{url(server, 'http')}/ui-elements.ultralytics")
    images = [decode_image(file.read_bytes()) for file in sorted(SAMPLES.glob("*.jpg"))]
    for rows, image in zip(ultralytics(*images), images, strict=True):
        np.testing.assert_array_equal(rows, ultralytics(image)[0])
