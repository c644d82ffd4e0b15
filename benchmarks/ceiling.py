"""Measure what the service takes beside its engine: CPU time of a request, and where one process saturates.

    python -m benchmarks.ceiling                                            # an engine that takes no CPU
    python -m benchmarks.ceiling --repository models --model yolov5n --engine

The first form writes benchmarks/results/ceiling.csv. It has the CPU time of the server per request, and the part of it
in the event loop. Beside it is the time of the same decoding in this process. The event loop is one thread. So its part
bounds the requests of one process, on any number of cores.

The second form writes benchmarks/results/ceiling_engine.csv. It compares a real engine behind HTTP with a loop of the
same stages in this process, one thread per worker. Rounds alternate. The generator uses the same cores.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import tyro

from benchmarks.cpu import describe_cpu, replace_rows
from benchmarks.open_loop import Load
from benchmarks.running_server import serving
from model_zoo.contract.pipeline import collate, make_query, postprocess, read_input
from model_zoo.contract.repository import Repository
from model_zoo.runtime.open import open_engine
from service.inference.bundled import BUNDLED_REPOSITORY

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
SAMPLE: Final = ROOT / "service" / "web" / "static" / "playground" / "samples" / "wizard.jpg"
SIZES: Final = {"640x480": (640, 480), "1280x720": (1280, 720)}
FORM: Final = (
    b'--limit\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n',
    b"\r\n--limit--\r\n",
)
QUALITY: Final = 90


@dataclass(frozen=True)
class Used:
    """Time of a number of requests."""

    requests: int
    """Number of requests."""
    seconds: float
    """Their wall time."""
    cpu: float
    """CPU seconds of the server."""
    loop: float
    """CPU seconds of its main thread, which has the event loop."""
    generator: float
    """CPU seconds of this process."""


def main(
    repository: Path = BUNDLED_REPOSITORY.root,
    model: str = "ui-elements",
    image: Path = SAMPLE,
    engine: bool = False,
    rounds: int = 5,
    seconds: float = 2.0,
    connections: int = 8,
    output_folder: Path = RESULTS,
) -> None:
    """Measure and write the results.

    Args:
        repository: Folder of model packages.
        model: Name of the model in it.
        image: Image to resize and send.
        engine: Compare the model behind HTTP with a loop in this process.
        rounds: Number of rounds, each of which measures every subject.
        seconds: Seconds of each measurement.
        connections: Number of connections.
        output_folder: Folder of the CSV file.
    """
    files = {name: jpeg(image, size) for name, size in SIZES.items()}
    measure = measure_engine if engine else measure_service
    rows = measure(repository, model, files, rounds, seconds, connections)
    write(rows, output_folder / ("ceiling_engine.csv" if engine else "ceiling.csv"), model, connections)


def jpeg(image: Path, size: tuple[int, int]) -> bytes:
    """Return an image file as a JPEG of a size (width, height)."""
    pixels = cv2.resize(np.asarray(cv2.imread(str(image))), size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def measure_service(
    repository: Path, model: str, files: Mapping[str, bytes], rounds: int, seconds: float, connections: int
) -> list[dict[str, object]]:
    """Measure all kinds of requests with an engine that takes no CPU."""
    requests = {f"{kind} {name}": make(model, file) for name, file in files.items() for kind, make in KINDS.items()}
    requests["tensor 640x640"] = tensor_request(model)
    used: dict[str, list[Used]] = {name: [] for name in requests}
    with serving([sys.executable, "-m", "benchmarks.null_server", str(repository.resolve())]) as (port, process):
        for number in range(rounds + 1):
            for name, request in requests.items():
                found = drive(port, process, request, seconds if number else 0.5, connections)
                used[name] += [found] if number else []
    stages = {name: read_seconds(repository, model, file) for name, file in files.items()}
    return [_service_row(name, found, stages.get(name.split()[1], 0.0)) for name, found in used.items()]


def _service_row(name: str, used: Sequence[Used], read: float) -> dict[str, object]:
    cpu = statistics.median(one.cpu / one.requests for one in used)
    loop = statistics.median(one.loop / one.requests for one in used)
    return {
        "request": name,
        "requests_per_second": f"{statistics.median(one.requests / one.seconds for one in used):.0f}",
        "cpu_ms": f"{1000 * cpu:.2f}",
        "event_loop_ms": f"{1000 * loop:.2f}",
        "decode_and_letterbox_ms": f"{1000 * read:.2f}",
        "rest_ms": f"{1000 * (cpu - read):.2f}",
        "requests_per_second_of_one_core": f"{1 / cpu:.0f}",
        "most_per_process": f"{1 / loop:.0f}",
        "generator_ms": f"{1000 * statistics.median(one.generator / one.requests for one in used):.2f}",
    }


def measure_engine(
    repository: Path, model: str, files: Mapping[str, bytes], rounds: int, seconds: float, connections: int
) -> list[dict[str, object]]:
    """Compare the images per second of the server with those of a loop over the same stages."""
    results: dict[str, list[tuple[float, Used]]] = {name: [] for name in files}
    command = [sys.executable, "-m", "lineage", "serve", f"--repository={repository.resolve()}", "--port=0"]
    loop = InProcess(repository, model)
    with serving(command) as (port, process):
        for number in range(rounds + 1):
            for name, file in files.items():
                alone = loop.run(file, seconds)
                served = drive(port, process, raw_request(model, file), seconds, connections)
                results[name] += [(alone, served)] if number else []
    return [_engine_row(name, found) for name, found in results.items()]


def _engine_row(name: str, found: Sequence[tuple[float, Used]]) -> dict[str, object]:
    rates = [(alone, used.requests / used.seconds) for alone, used in found]
    shares = [used.generator / (used.generator + used.cpu) for _, used in found]
    return {
        "image": name,
        "loop_per_second": f"{statistics.median(alone for alone, _ in rates):.1f}",
        "served_per_second": f"{statistics.median(served for _, served in rates):.1f}",
        "ratio": f"{statistics.median(served / alone for alone, served in rates):.3f}",
        "generator_share_of_cpu": f"{statistics.median(shares):.3f}",
    }


class InProcess:
    """Decodes, letterboxes and detects in this process, without HTTP."""

    def __init__(self, repository: Path, model: str) -> None:
        self._engine = open_engine(Repository(repository).resolve(model))
        self._engine.warm_up()
        self._query = make_query(self._engine.card)

    def run(self, file: bytes, seconds: float) -> float:
        """Return the images per second of one thread per worker of the engine."""
        counts, end, start = [0] * self._engine.workers, time.monotonic() + seconds, time.monotonic()

        def work(number: int) -> None:
            while time.monotonic() < end:
                self._detect(file)
                counts[number] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(self._engine.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.monotonic() - start)

    def _detect(self, file: bytes) -> object:
        item = read_input(self._engine.card, file, self._engine.canvases)
        rows, counts = self._engine.run(collate([item], [self._query]))
        return postprocess(rows[0], int(counts[0]), item.geometry, self._query).to_dict(self._engine.card.class_names)


def drive(port: int, process: int, request: bytes, seconds: float, connections: int) -> Used:
    """Keep a request in flight on each connection for a while."""
    load = Load(port, request, connections)
    before = (time.monotonic(), cpu_seconds(process), cpu_seconds(process, process), time.process_time())
    asyncio.run(load.run_closed(seconds))
    after = (time.monotonic(), cpu_seconds(process), cpu_seconds(process, process), time.process_time())
    if wrong := {answer.status for answer in load.answers} - {200}:
        raise SystemExit(f"expected 200 for all requests; got also {sorted(wrong)}")
    return Used(len(load.answers), *(late - early for early, late in zip(before, after, strict=True)))


def cpu_seconds(process: int, thread: int | None = None) -> float:
    """Return the CPU seconds of the running threads of a process so far, or of one of them."""
    threads = [str(thread)] if thread else os.listdir(f"/proc/{process}/task")
    spent = [Path(f"/proc/{process}/task/{one}/schedstat").read_text().split()[0] for one in threads]
    return sum(map(int, spent)) / 1e9


def read_seconds(repository: Path, model: str, file: bytes, repeats: int = 100) -> float:
    """Return the CPU seconds of decoding and letterboxing, on one thread."""
    card = Repository(repository).resolve(model).card
    return cpu_time(lambda: read_input(card, file, [card.input_size]), repeats)


def cpu_time(function: Callable[[], object], repeats: int) -> float:
    """Return the CPU seconds of a call, in the mean."""
    start = time.thread_time()
    for _ in range(repeats):
        function()
    return (time.thread_time() - start) / repeats


def post(path: str, content_type: str, body: bytes, more: str = "") -> bytes:
    """Return a POST request."""
    head = f"POST {path} HTTP/1.1\r\nHost: benchmark\r\nAccept: */*\r\nContent-Type: {content_type}\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def raw_request(model: str, file: bytes) -> bytes:
    """Return a request with a file as its body."""
    return post(f"/detect?model={model}", "image/jpeg", file)


def form_request(model: str, file: bytes) -> bytes:
    """Return a request with a file in a form."""
    return post(f"/detect?model={model}", "multipart/form-data; boundary=limit", FORM[0] + file + FORM[1])


def tensor_request(model: str, side: int = 640) -> bytes:
    """Return a binary request of the Open Inference Protocol with a canvas."""
    canvas: Any = np.zeros((1, side, side, 3), np.uint8)
    parameters = {"binary_data_size": canvas.nbytes}
    tensor = {"name": "images", "datatype": "UINT8", "shape": canvas.shape, "parameters": parameters}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    more = f"Inference-Header-Content-Length: {len(head)}\r\n"
    return post(f"/v2/models/{model}/infer", "application/octet-stream", head + canvas.tobytes(), more)


KINDS: Final = {"raw": raw_request, "form": form_request}


def write(rows: Sequence[Mapping[str, object]], output: Path, model: str, connections: int) -> None:
    """Print the rows and write them as CSV, with the processor. Rows of other processors stay in the file."""
    common = {"model": model, "connections": connections, "cpu": describe_cpu()}
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    replace_rows(output, [*rows[0], *common], [[*row.values(), *common.values()] for row in rows])


if __name__ == "__main__":
    tyro.cli(main)
