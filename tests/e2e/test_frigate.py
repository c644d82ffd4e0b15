"""Frigate's detectors `zmq` and `deepstack`, rehearsed with a server process: boxes, and the end of the server."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.web.routes import FOLDER
from tests.e2e.server import ROOT, Server

zmq = pytest.importorskip("zmq", reason="needs the extra zmq")

SIDE = 320
LISTENING = re.compile(r"listening on (tcp://127\.0\.0\.1:\d+) for Frigate")
SAMPLES = sorted((FOLDER / "samples").glob("*.jpg"))[:3]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(None, zmq="tcp://127.0.0.1:*", max_batch=1) as server:
        yield server.wait_until_ready()


class FrigateZmq:
    """Does as Frigate's detector of type zmq: a handshake, then one request at a time with a limit of time."""

    def __init__(self, server: Server, timeout_ms: int = 10_000) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.RCVTIMEO, timeout_ms)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(server.wait_for_log(LISTENING)[1])
        asked = self._ask(json.dumps({"model_request": True, "model_name": "yolov9-t-320.onnx"}).encode())
        assert json.loads(asked) == {"model_available": True, "model_loaded": True}

    def detect(self, tensor: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.send(tensor)
        return np.frombuffer(self._socket.recv(), np.float32).reshape(20, 6)

    def send(self, tensor: NDArray[np.uint8]) -> None:
        header = {"shape": list(tensor.shape), "dtype": str(tensor.dtype), "model_type": "yolo-generic"}
        self._socket.send_multipart([json.dumps(header).encode(), tensor.tobytes()])

    def receive(self) -> NDArray[np.float32]:
        return np.frombuffer(self._socket.recv(), np.float32).reshape(20, 6)

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def _ask(self, *frames: bytes) -> bytes:
        self._socket.send_multipart(frames)
        return bytes(self._socket.recv())


def region(path: Path) -> NDArray[np.uint8]:
    """A region of a frame, RGB (320, 320, 3)."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert image is not None
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8)


def png(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def native(server: Server, image: bytes) -> list[dict[str, object]]:
    query = {"score": 0.4, "max_detections": 20}
    answer = server.client.post("/detect", params=query, content=image, headers={"Content-Type": "image/png"}).json()
    return list(answer["results"][0]["detections"])


def test_boxes_are_those_of_detect(server: Server) -> None:
    frigate, found = FrigateZmq(server), 0
    for path in SAMPLES:
        image = region(path)
        expected = native(server, png(image))
        rows = frigate.detect(image[None])
        boxes = [[box["box"][i] for i in (1, 0, 3, 2)] for box in expected]  # type: ignore[index]
        count = len(expected)
        np.testing.assert_array_equal(rows[:count, 0], [box["class_id"] for box in expected])
        np.testing.assert_allclose(rows[:count, 1], [box["score"] for box in expected], atol=1e-6)
        np.testing.assert_allclose(SIDE * rows[:count, 2:], np.reshape(boxes, (-1, 4)), atol=1e-2)
        assert not rows[count:].any()
        form = {"files": {"image": ("image", png(image))}, "data": {"api_key": ""}}
        answer = server.client.post("/v1/vision/detection", **form).json()
        corners = [[p["y_min"], p["x_min"], p["y_max"], p["x_max"]] for p in answer["predictions"]]
        np.testing.assert_allclose(np.reshape(corners, (-1, 4)), np.reshape(boxes, (-1, 4)), atol=0.51)
        found += count
    frigate.close()
    assert found > 3


@pytest.mark.slow
def test_request_in_flight_is_answered_at_sigterm() -> None:
    with Server(None, zmq="tcp://127.0.0.1:*", max_batch=1) as server:
        frigate = FrigateZmq(server.wait_until_ready())
        frigate.send(np.zeros((1, SIDE, SIDE, 3), dtype=np.uint8))
        time.sleep(0.02)
        server.process.send_signal(signal.SIGTERM)
        assert frigate.receive().shape == (20, 6)
        assert server.process.wait(timeout=30) == 0
        frigate.close()
        assert "shutdown complete" in server.log


@pytest.mark.slow
def test_endpoint_in_use_refuses_the_start_in_one_line(server: Server) -> None:
    endpoint = server.wait_for_log(LISTENING)[1]
    command = [sys.executable, "-m", "lineage", "serve", "--port=0", f"--zmq={endpoint}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"lineage: {endpoint}: Address already in use; choose another --zmq"
    assert "Traceback" not in done.stderr
