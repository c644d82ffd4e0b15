"""Compare latency and throughput of `POST /detect` with a plain FastAPI server and the bare engine.

    python benchmarks/serve.py --repository models --model yolov5n --raw raw.onnx --image photo.jpg

Rounds alternate between the subjects, so that load on a shared machine affects all of them. Compare the ratios, not the
milliseconds. Writes benchmarks/results/serve.csv and serve.png.
"""

from __future__ import annotations

import contextlib
import csv
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import tyro

from model_zoo.contract.images import decode_image
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import collate, make_query, preprocess
from model_zoo.contract.repository import Repository
from model_zoo.runtime.open import open_engine

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Row:
    """Results of one subject: milliseconds per request (median, 90th percentile) and images per second."""

    subject: str
    connections: int
    median_ms: float
    p90_ms: float
    images_per_second: float


def main(
    repository: Path,
    model: str,
    raw: Path,
    image: Path,
    rounds: int = 10,
    requests: int = 20,
    before: Path | None = None,
) -> None:
    """Measure and write the results.

    Args:
        repository: Folder of model packages.
        model: Name of the model in it.
        raw: The same model exported with --raw, for the plain server.
        image: Image to send.
        rounds: Number of rounds, each of which measures every subject.
        requests: Requests per round.
        before: Another checkout of this project to measure too, such as the state before a change.
    """
    body = image.read_bytes()
    package = Repository(repository).resolve(model)
    ours = [sys.executable, "-m", "lineage", "serve", "--repository", str(repository.resolve())]
    plain = [sys.executable, "-m", "uvicorn", "--log-level", "error", "benchmarks.plain_server:app"]
    with contextlib.ExitStack() as servers:
        subjects: dict[str, Callable[[], object]] = {"bare engine": bare_engine(package, body)}
        port = servers.enter_context(server(plain, PLAIN_MODEL=str(raw.resolve())))
        subjects["plain FastAPI"] = partial(post, port, "/detect", body)
        for name, checkout in {"lineage before": before, "lineage serve": ROOT}.items():
            if checkout:
                port = servers.enter_context(server(ours, checkout))
                subjects[name] = partial(post, port, f"/detect?model={model}", body)
        rows = [row for connections in (1, 4) for row in measure(subjects, connections, rounds, requests)]
    report(rows)


def measure(subjects: dict[str, Callable[[], object]], connections: int, rounds: int, requests: int) -> list[Row]:
    """Measure the subjects in turns. Each connection sends its next request after the previous answer."""
    times: dict[str, list[float]] = {name: [] for name in subjects}
    wall = dict.fromkeys(subjects, 0.0)
    with ThreadPoolExecutor(connections) as pool:
        for _ in range(rounds):
            for name, call in subjects.items():
                start = time.perf_counter()
                times[name] += pool.map(lambda _, call=call: timed(call), range(requests))
                wall[name] += time.perf_counter() - start
    return [
        Row(name, connections, statistics.median(t), float(np.percentile(t, 90)), len(t) / wall[name])
        for name, t in times.items()
    ]


def timed(call: Callable[[], object]) -> float:
    """Return the milliseconds of one call."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def bare_engine(package: Package, body: bytes) -> Callable[[], object]:
    """Return an inference of the engine without HTTP and decoding: the lower bound of the server's latency."""
    engine = open_engine(package)
    engine.warm_up()
    feeds = collate([preprocess(package.card, decode_image(body))], [make_query(package.card)])
    return lambda: engine.run(feeds)


@contextlib.contextmanager
def server(command: list[str], folder: Path = ROOT, **environment: str) -> Iterator[int]:
    """Run a server from a checkout on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([*command, "--port", str(port)], cwd=folder, env={**os.environ, **environment})
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit(f"no answer from: {' '.join(command)}")
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health/ready")
        return connection.getresponse().status in (200, 404)
    return False


def post(port: int, path: str, body: bytes) -> None:
    """Send one image as a form and read the answer."""
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\n\r\n' + body + b"\r\n--b--\r\n"
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, form, {"Content-Type": "multipart/form-data; boundary=b"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise SystemExit(f"{response.status}: {answer[:300]!r}")
    connection.close()


def report(rows: list[Row]) -> None:
    """Print the table with ratios to the plain server, and write CSV and plot."""
    RESULTS.mkdir(exist_ok=True)
    baseline = {row.connections: row for row in rows if row.subject == "plain FastAPI"}
    with (RESULTS / "serve.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["subject", "connections", "median_ms", "p90_ms", "images_per_second", "speed_vs_plain"])
        for row in rows:
            ratio = row.images_per_second / baseline[row.connections].images_per_second
            cells = [row.subject, row.connections, *(f"{v:.1f}" for v in (row.median_ms, row.p90_ms))]
            out.writerow([*cells, f"{row.images_per_second:.2f}", f"{ratio:.2f}"])
            spread = f"{row.median_ms:7.1f} ms  {row.p90_ms:7.1f} ms p90"
            print(f"{row.subject:14} x{row.connections}  {spread}  {ratio:.2f}x plain")
    _plot(rows)


def _plot(rows: list[Row]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for axis, connections in zip(axes, (1, 4), strict=True):
        chosen = [row for row in rows if row.connections == connections]
        axis.barh([row.subject for row in chosen], [row.images_per_second for row in chosen], color="#3b6ea5")
        axis.set(title=f"{connections} connection{'s' * (connections > 1)}", xlabel="images per second")
    figure.savefig(RESULTS / "serve.png", dpi=120)


if __name__ == "__main__":
    tyro.cli(main)
