"""Measure frames per second of the playground with Chromium's camera for tests, over the WebSocket.

    python -m benchmarks.camera_page --repository models --model yolov5n

The camera has 60 frames/s. Writes benchmarks/results/camera_page.csv.
"""

from __future__ import annotations

import csv
import statistics
import sys
from pathlib import Path
from typing import Any, Final

import tyro

from benchmarks.cpu import describe_cpu
from benchmarks.running_server import ROOT, serving
from tests.e2e.browser import launched

RESULTS: Final = ROOT / "benchmarks" / "results" / "camera_page.csv"
FIELDS: Final = ("frame_px", "frames_per_second", "latency_ms", "server_ms", "cpu")
CAMERA: Final = ("--use-fake-device-for-media-stream=fps=60", "--use-fake-ui-for-media-stream")


def main(repository: Path, model: str, seconds: float = 5.0) -> None:
    """Measure with frames of 320, 640 and 1,280 pixels.

    Args:
        repository: Folder of the repository.
        model: Name of the model.
        seconds: Seconds of one measurement.
    """
    command = (sys.executable, "-m", "lineage", "serve", "--port=0", f"--repository={repository}")
    with serving(command) as (port, _), launched(*CAMERA) as browser:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/?model={model}#live")
        rows = [[side, *measure(page, side, seconds), describe_cpu()] for side in (320, 640, 1280)]
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([FIELDS, *rows])
    print(RESULTS.read_text(encoding="utf-8"))


def measure(page: Any, side: int, seconds: float) -> list[float]:
    """Return the medians of rate, latency and server time that the page shows."""
    page.select_option("#side", str(side))
    page.click("#start")
    page.locator("#rate", has_text="frames/s").wait_for()
    page.wait_for_timeout(3000)  # the engine warms up, and the rate is that of two seconds
    readings = []
    for _ in range(int(2 * seconds)):
        page.wait_for_timeout(500)
        readings.append([float(page.inner_text(f"#{name}").split()[0]) for name in ("rate", "latency", "server")])
    page.click("#stop")
    return [round(statistics.median(values), 1) for values in zip(*readings, strict=True)]


if __name__ == "__main__":
    tyro.cli(main)
