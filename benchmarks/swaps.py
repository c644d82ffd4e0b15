"""Swap the version of a model many times under load, and check that no request fails and that no memory is lost.

The alias `stable` moves between two versions of one package, and each swap loads one and unloads the other. A third
version is the latest, which would stay loaded. Clients send images all the time.

    python -m benchmarks.swaps --swaps 1000 --output benchmarks/results/swaps.csv    # 10 to 20 minutes on two cores

The exit code is 1 if a request failed, or if memory, descriptors or threads have grown after the first tenth.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, field, fields
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from tqdm import tqdm

from model_zoo.contract.manifest import CARD
from model_zoo.contract.package import Package
from model_zoo.contract.repository import STABLE, Repository
from service.inference.bundled import BUNDLED_REPOSITORY

SAMPLES: Final = BUNDLED_REPOSITORY.root.parent / "web" / "static" / "playground" / "samples"
LISTENING: Final = re.compile(r"listening on http://[\d.]+:(\d+)")
PATIENCE: Final = 60.0
MAX_GROWTH: Final = 0.05


@dataclass(frozen=True)
class Sample:
    """State of the server after a swap."""

    swap: int
    """Number of swaps so far."""
    seconds: float
    """Seconds from the change of the alias to the first answer of the new version."""
    memory_mb: float
    """Resident memory of the server in MB."""
    descriptors: int
    """Open file descriptors of the server."""
    threads: int
    """Threads of the server."""
    answered: int
    """Requests answered with 200 so far."""
    failed: int
    """Requests that failed so far."""


@dataclass
class Clients:
    """Send one image again and again on their own connections until `stop`."""

    port: int
    """Port of the server."""
    image: bytes
    """Image file."""
    version: int = 0
    """Version of the last answer to a request that was sent after `since`."""
    since: float = 0.0
    """Time of the last swap."""
    answered: int = 0
    """Requests answered with 200."""
    failures: list[str] = field(default_factory=list)
    """Descriptions of the failed requests."""
    ended: threading.Event = field(default_factory=threading.Event)
    """Set to end the clients."""

    @contextmanager
    def running(self, number: int) -> Iterator[Clients]:
        """Run a number of clients inside the block."""
        threads = [threading.Thread(target=self._send) for _ in range(number)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            for thread in threads:
                thread.join()

    def _send(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            while not self.ended.is_set():
                try:
                    self._send_one(connection)
                except (OSError, http.client.HTTPException) as error:
                    self.failures.append(repr(error))
                    connection.close()

    def _send_one(self, connection: http.client.HTTPConnection) -> None:
        started = time.monotonic()
        connection.request("POST", "/detect", self.image, {"Content-Type": "image/*"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            self.failures.append(f"{answer.status} {body.decode()}")
            return
        self.answered += 1
        if started > self.since:
            self.version = json.loads(body)["model"]["version"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments, swap, write the samples, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--package", type=Path, default=BUNDLED_REPOSITORY.root / "ui-elements" / "1")
    parser.add_argument("--image", type=Path, default=min(SAMPLES.glob("*.jpg")))
    parser.add_argument("--output", type=Path, help="CSV file to write")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        repository = Repository(Path(folder) / "models")
        package = Repository(options.package.parents[1]).resolve("@".join(options.package.parts[-2:]))
        samples, failures = swap(repository, package, options.image.read_bytes(), options.swaps, options.clients)
    if options.output:
        with options.output.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow([column.name for column in fields(Sample)])
            table.writerows(map(astuple, samples))
    faults = [*failures[:3], *judge(samples)]
    print("\n".join(faults) or f"{options.swaps} swaps, {samples[-1].answered} answers, 0 failed: nothing has grown")
    return 1 if faults else 0


def swap(
    repository: Repository, package: Package, image: bytes, swaps: int, clients: int = 2
) -> tuple[list[Sample], list[str]]:
    """Publish a package, serve it, and swap. Return a sample per swap, and the failures of clients."""
    files = {file.name: package.path / file.name for file in package.files if file.name != CARD}
    for _ in range(3):
        repository.publish(package.card, files)
    repository.set_alias(package.name, STABLE, 1)
    with serving(repository) as (port, process), Clients(port, image).running(clients) as sending:
        samples = []
        _wait_for_version(sending, 1)
        for i, version in enumerate(tqdm(islice(cycle((2, 1)), swaps), total=swaps, unit=" swaps")):
            sending.since = time.monotonic()
            repository.set_alias(package.name, STABLE, version)
            _wait_for_version(sending, version)
            samples.append(_sample(i + 1, time.monotonic() - sending.since, process, sending))
    return samples, sending.failures


def judge(samples: Sequence[Sample]) -> list[str]:
    """List what has grown by more than 5 % and 5 units, from the second tenth of the samples to the last."""
    tenth = max(1, len(samples) // 10)
    faults = []
    for name in ("memory_mb", "descriptors", "threads"):
        early, late = (
            statistics.median(getattr(sample, name) for sample in part)
            for part in (samples[tenth : 2 * tenth] or samples, samples[-tenth:])
        )
        if late - early > max(MAX_GROWTH * early, 5):
            faults.append(f"{name} has grown from {early:g} to {late:g}")
    return faults


@contextmanager
def serving(repository: Repository) -> Iterator[tuple[int, int]]:
    """Serve a repository, and yield port and process id."""
    command = [sys.executable, "-m", "lineage", "serve", "--port=0", "--poll=0.05", f"--repository={repository.root}"]
    log = repository.root.parent / "server.log"
    with log.open("w") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        try:
            end = time.monotonic() + PATIENCE
            while not (found := LISTENING.search(text := log.read_text())) or " loaded " not in text:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"the server does not start:\n{text}")
                time.sleep(0.05)
            yield int(found[1]), process.pid
        finally:
            process.terminate()


def _wait_for_version(clients: Clients, version: int) -> None:
    end = time.monotonic() + PATIENCE
    while clients.version != version:
        if time.monotonic() > end:
            raise SystemExit(f"no answer of version {version} within {PATIENCE:g} s: {clients.failures[:3]}")
        time.sleep(0.002)


def _sample(number: int, seconds: float, process: int, clients: Clients) -> Sample:
    status = Path(f"/proc/{process}/status").read_text()
    values = {name: int(value) for name, value in re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE)}
    descriptors = len(list(Path(f"/proc/{process}/fd").iterdir()))
    memory = round(values["VmRSS"] * 1024 / 1e6, 1)
    answered, failed = clients.answered, len(clients.failures)
    return Sample(number, round(seconds, 3), memory, descriptors, values["Threads"], answered, failed)


if __name__ == "__main__":
    sys.exit(main())
