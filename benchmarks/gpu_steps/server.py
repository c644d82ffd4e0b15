"""Step `server`: `lineage serve` from the JPEG file to the answer, with clients that wait for their answers."""

from __future__ import annotations

import http.client
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2

from benchmarks.gpu_steps.machine import installed
from benchmarks.gpu_steps.package import package_of
from benchmarks.gpu_steps.results import CouldNotRun, Options, Row, write_row
from benchmarks.running_server import serving
from model_zoo.export.synthetic_images import synthetic_images

REQUIRED = ("fastapi", "loky", "prometheus-client", "pydantic-settings", "tyro", "uvicorn")
SECONDS = 5.0
SIZE = (720, 1280)


def run(options: Options) -> None:
    """Measure the throughput and the median latency with a few numbers of connections."""
    if missing := [name for name in REQUIRED if not installed()[name]]:
        raise CouldNotRun(f"missing packages: {', '.join(missing)}")
    provider = "cuda" if options.device == "cuda" else "cpu"
    package = package_of(options, "fp32")
    command = [sys.executable, "-m", "lineage", "serve", "--repository", str(options.folder / "models")]
    command += ["--default-model", package.card.name, "--provider", provider, "--port", "0"]
    _, encoded = cv2.imencode(".jpg", synthetic_images(SIZE, 1)[0])
    with serving(command) as (port, _):
        for connections in (1, 2) if options.quick else (1, 8, 32, 64):
            measure(options, provider, port, encoded.tobytes(), connections)


def measure(options: Options, provider: str, port: int, image: bytes, connections: int) -> None:
    """Send images over a number of connections and write a row."""
    end = time.monotonic() + (0.5 if options.quick else SECONDS)
    with ThreadPoolExecutor(connections) as clients:
        start = time.monotonic()
        runs = list(clients.map(lambda _: send_until(port, image, end), range(connections)))
        seconds = time.monotonic() - start
    latencies = [latency for run in runs for latency in run]
    if not latencies:
        raise CouldNotRun("the server answered no request")
    subject, median = f"lineage serve, {provider}, connections: {connections}", 1e3 * statistics.median(latencies)
    write_row(options, Row("server", subject, *SIZE, 1, len(latencies) / seconds, median, "with a client in Python"))


def send_until(port: int, image: bytes, end: float) -> list[float]:
    """Send an image again and again, and return the seconds of each answer."""
    connection, latencies = http.client.HTTPConnection("127.0.0.1", port, timeout=30), []
    while (start := time.monotonic()) < end:
        connection.request("POST", "/detect", image, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise CouldNotRun(f"the server answered {answer.status}: {body[:200]!r}")
        latencies.append(time.monotonic() - start)
    return latencies
