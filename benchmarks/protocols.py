"""Compare the server's CPU time per request over each protocol with that of a raw `POST /detect`.

    python -m benchmarks.protocols --repository models --model yolov5n --image photo.jpg
    python -m benchmarks.protocols                                            # the bundled model and one of its samples

Each connection sends its next request after the previous answer. Rounds measure all protocols in turns, so that load on
a shared machine affects all of them. A ratio compares two measurements of one round. The CPU time is that of the server
alone. Writes benchmarks/results/protocols.csv.
"""

from __future__ import annotations

import asyncio
import csv
import os
import socket
import statistics
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import tritonclient.grpc.aio as triton
import tyro

from benchmarks.cpu import describe_cpu
from benchmarks.open_loop import Load
from benchmarks.running_server import serving
from model_zoo.contract.card import ModelCard
from model_zoo.contract.pipeline import preprocess
from model_zoo.contract.repository import Repository
from service.inference.bundled import BUNDLED_REPOSITORY
from tests.e2e.protocols import PROTOCOLS, Call, Sample, oip_call

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results" / "protocols.csv"
SAMPLE: Final = ROOT / "service" / "web" / "static" / "playground" / "samples" / "wizard.jpg"
REFERENCE: Final = "native raw"
LIMIT: Final = 1.05  # CPU time of files over the Open Inference Protocol
Drive = Callable[[float], Coroutine[Any, Any, int]]


@dataclass(frozen=True)
class Row:
    """CPU time of one protocol."""

    protocol: str
    """Protocol and form of the input."""
    requests: int
    """Requests of all rounds."""
    cpu_ms: float
    """Milliseconds of CPU time per request, median of the rounds."""
    ratio: float
    """Ratio to a raw `POST /detect`, median of the rounds."""
    lowest: float
    """Lowest ratio of a round."""
    highest: float
    """Highest ratio of a round."""


def main(
    repository: Path = BUNDLED_REPOSITORY.root,
    model: str = "ui-elements",
    image: Path = SAMPLE,
    rounds: int = 9,
    seconds: float = 4.0,
    connections: int = 2,
    protocols: tuple[str, ...] = (),
) -> int:
    """Measure, write the results, and fail if files over the Open Inference Protocol cost more than 1.05 times as much.

    Args:
        repository: Folder of model packages.
        model: Name of the model in it.
        image: Image to send.
        rounds: Number of rounds.
        seconds: Seconds of each protocol in a round.
        connections: Number of connections.
        protocols: Names of the protocols to compare, by default all.
    """
    sample, card = Sample.of(image.read_bytes()), Repository(repository).resolve(model).card
    grpc_port = free_port()
    command = [sys.executable, "-m", "lineage", "serve", f"--repository={repository.resolve()}", "--port=0"]
    flags = [f"--default-model={model}", f"--grpc-port={grpc_port}", "--views=ultralytics"]
    with serving([*command, *flags]) as (port, process):
        drives: dict[str, Drive] = {
            protocol.name: partial(drive_http, port, protocol.request(card, [sample]), connections)
            for protocol in PROTOCOLS
        }
        drives["oip view ultralytics"] = partial(drive_http, port, view_call(card, sample), connections)
        drives["oip grpc files"] = partial(drive_grpc, grpc_port, card, sample, connections)
        chosen = {name: drive for name, drive in drives.items() if not protocols or name in (REFERENCE, *protocols)}
        rows = measure(chosen, process, rounds, seconds)
    write(rows, model, image, connections)
    return int(any(row.ratio > LIMIT for row in rows if row.protocol == "oip files"))


async def drive_http(port: int, call: Call, connections: int, seconds: float) -> int:
    """Keep a request in flight on each connection for a while, and return the number of answers."""
    lines = [f"POST {call.path} HTTP/1.1", "Host: benchmark", f"Content-Length: {len(call.body)}"]
    lines += [f"{name}: {value}" for name, value in call.headers.items()]
    load = Load(port, "\r\n".join([*lines, "", ""]).encode() + call.body, connections)
    await load.run_closed(seconds)
    _require_all(answer.status for answer in load.answers)
    return len(load.answers)


async def drive_grpc(port: int, card: ModelCard, sample: Sample, connections: int, seconds: float) -> int:
    """Keep a request in flight on each connection for a while, and return the number of answers."""
    tensors = [triton.InferInput("image", [1], "BYTES")]
    tensors[0].set_data_from_numpy(np.array([sample.data], dtype=object))
    end = asyncio.get_running_loop().time() + seconds

    async def repeat() -> int:
        count = 0
        async with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            while asyncio.get_running_loop().time() < end:
                await client.infer(card.name, tensors)
                count += 1
        return count

    return sum(await asyncio.gather(*(repeat() for _ in range(connections))))


def view_call(card: ModelCard, sample: Sample) -> Call:
    """Return what Ultralytics' `YOLO(url)` sends for an image."""
    canvas = preprocess(card, sample.pixels).pixels
    pixels = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], "<f4") / np.float32(255)
    return oip_call(replace(card, name=f"{card.name}.ultralytics"), ("images", "FP32", pixels.shape, pixels.tobytes()))


def measure(drives: Mapping[str, Drive], process: int, rounds: int, seconds: float) -> list[Row]:
    """Measure all protocols in turns. The first round is not counted."""
    cpu: dict[str, list[float]] = {name: [] for name in drives}
    requests = dict.fromkeys(drives, 0)
    for number in range(rounds + 1):
        for name, drive in drives.items():
            start = cpu_seconds(process)
            count = asyncio.run(drive(seconds if number else seconds / 4))
            if number:
                cpu[name].append((cpu_seconds(process) - start) / count)
                requests[name] += count
        print(f"round {number} of {rounds}", file=sys.stderr)
    rows = []
    for name, spent in cpu.items():
        ratios = [one / reference for one, reference in zip(spent, cpu[REFERENCE], strict=True)]
        middle = statistics.median(ratios)
        rows.append(Row(name, requests[name], 1000 * statistics.median(spent), middle, min(ratios), max(ratios)))
    return rows


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write(rows: Sequence[Row], model: str, image: Path, connections: int) -> None:
    """Print the table and write it with the command and the processor."""
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(
            ["protocol", "requests", "cpu_ms", "ratio", "lowest", "highest", "model", "image", "connections", "cpu"]
        )
        for row in rows:
            numbers = (f"{row.cpu_ms:.2f}", *(f"{value:.3f}" for value in (row.ratio, row.lowest, row.highest)))
            out.writerow([row.protocol, row.requests, *numbers, model, image.name, connections, describe_cpu()])
            print(f"{row.protocol:18} {row.cpu_ms:8.2f} ms  {row.ratio:.3f}x ({row.lowest:.3f} to {row.highest:.3f})")


def free_port() -> int:
    """Return a port that no program listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _require_all(statuses: Iterable[int]) -> None:
    wrong = {status for status in statuses if status != 200}
    if wrong:
        raise SystemExit(f"expected 200 for all requests; got also {sorted(wrong)}")


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
