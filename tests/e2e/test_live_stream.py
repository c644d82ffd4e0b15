"""`lineage detect` on a live RTSP stream, as a process: delay, memory, a cut connection, and the end."""

from __future__ import annotations

import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.rtsp_server import RtspServer
from tests.tiny_onnx import toy_card, toy_onnx

av = pytest.importorskip("av", reason="videos need the extra `video`")
SECONDS = int(os.environ.get("LINEAGE_LIVE_SECONDS", "60"))
RATE = 25
SIDE = 960  # as many pixels as 720p, without a border on the canvas of the model
PERIOD = 200  # frames until the color repeats


def images() -> Iterator[np.ndarray]:
    """Yield frames whose red is their number."""
    for number in itertools.count():
        yield np.full((SIDE, SIDE, 3), (number % PERIOD + 20, 128, 128), np.uint8)


def number_of(line: str) -> int:
    """Return the number of a frame, modulo PERIOD: the toy model's boxes begin at an eighth of the red."""
    return round(json.loads(line)["detections"][0]["box"][0] * 8 * 64 / SIDE) - 20


@pytest.mark.slow
def test_live_stream_has_a_short_delay_and_flat_memory(tmp_path: Path) -> None:
    (tmp_path / "toy.onnx").write_bytes(toy_onnx(toy_card()))
    options = ["--model", "toy.onnx", "--score", "0.01", "--format", "json-lines", "--save", "drawn"]
    delays: list[int] = []
    memory: list[int] = []
    with RtspServer(images(), RATE) as server:
        command = [sys.executable, "-m", "lineage", "detect", server.url, *options]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            start = time.monotonic()
            for count, line in enumerate(process.stdout):
                delays.append((server.sent - number_of(line)) % PERIOD)
                if count % RATE == 0:
                    memory.append(psutil.Process(process.pid).memory_info().rss)
                seconds = time.monotonic() - start
                if server.connections == 1 and seconds > SECONDS / 3:
                    server.cut()
                if seconds > SECONDS:
                    break
            process.send_signal(signal.SIGINT)
            lines = count + 1 + len(process.stdout.readlines())
            assert process.wait(20) == 0
        assert server.connections == 2
    growth = (statistics.median(memory[-5:]) - statistics.median(memory[len(memory) // 3 :][:5])) / 2**20
    if report := os.environ.get("LINEAGE_LIVE_REPORT"):
        numbers = {
            "lines": lines,
            "delay": statistics.median(delays),
            "max_delay": max(delays[RATE:]),
            "growth_mb": growth,
        }
        Path(report).write_text(json.dumps(numbers))
    assert statistics.median(delays) <= RATE, "a second, even on a busy machine"
    assert growth < 20
    with av.open(str(tmp_path / "drawn/garden.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == lines
