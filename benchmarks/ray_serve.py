"""Compare the throughput of one and of two replicas on Ray Serve, each pinned to a core.

    build/ray/bin/python -m benchmarks.ray_serve --repository MODELS --model yolov5n --image photo.jpg

Rounds alternate between both, and with bare engines, whose ratio is what the cores allow. Proxy, client and Ray itself
run on the same cores: with one replica they have the other core, with two they take from both. Their CPU time for an
image is measured. Appends medians to benchmarks/results/ray_serve.csv.
"""

from __future__ import annotations

import csv
import statistics
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import tyro
from httpx2 import Client

from benchmarks.bare_engines import images_per_second
from benchmarks.cpu import describe_cpu
from model_zoo.contract.repository import Repository
from tests.service.deploy.ray.local_ray import LocalRay, configure

OUTPUT = Path(__file__).parent / "results" / "ray_serve.csv"
CLIENTS_PER_REPLICA = 3
WARM_UP_SECONDS = 3.0


class Speed(NamedTuple):
    """Throughput of a number of replicas or engines, and CPU time for an image."""

    images_per_second: float
    """Answers per second."""
    replica_ms: float = 0.0
    """CPU time of the replicas."""
    other_ms: float = 0.0
    """CPU time of the proxy, the client and Ray."""


def count_answers(url: str, image: bytes, clients: int, seconds: float) -> float:
    """Return the answers per second of a number of clients, after a warm-up."""
    begin = time.monotonic() + WARM_UP_SECONDS
    answered = [0] * clients

    def work(number: int) -> None:
        with Client(base_url=url, timeout=60) as client:
            while (now := time.monotonic()) < begin + seconds:
                client.post("/detect", files={"file": ("photo.jpg", image)}).raise_for_status()
                answered[number] += begin <= now

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answered) / (time.monotonic() - begin)


def measure(form: str, arguments: dict[str, object], replicas: int, image: bytes, seconds: float) -> Speed:
    """Return the speed of a number of replicas of one core each."""
    one_core = {"num_replicas": replicas, "ray_actor_options": {"num_cpus": 1}}
    http = {"num_replicas": 1, "ray_actor_options": {"num_cpus": 0}} if form == "composed" else one_core
    deployment = "Engines" if form == "composed" else "Server"
    with LocalRay(configure(form, arguments, Server=http, Engines=one_core)) as ray:
        found = ray.wait_until_ready().wait_for(deployment, replicas)
        before = cpu_times(ray, found)
        rate = count_answers(ray.url, image, CLIENTS_PER_REPLICA * replicas, seconds)
        images = rate * (WARM_UP_SECONDS + seconds)
        spent = [1000 * (now - then) / images for now, then in zip(cpu_times(ray, found), before, strict=True)]
        return Speed(rate, *spent)


def cpu_times(ray: LocalRay, replicas: list[int]) -> tuple[float, float]:
    """Return the CPU seconds of the replicas, and of all other processes of Ray and this one."""
    seconds = {True: 0.0, False: 0.0}
    for process in [psutil.Process(), *psutil.Process(ray.process.pid).children(recursive=True)]:
        with suppress(psutil.Error):
            seconds[process.pid in replicas] += sum(process.cpu_times()[:2])
    return seconds[True], seconds[False]


def main(
    repository: Path, model: str, image: Path, form: str = "servers", rounds: int = 2, seconds: float = 15
) -> None:
    """Measure both in turns.

    Args:
        repository: Folder of model packages.
        model: Model that answers.
        image: JPEG file to send.
        form: servers or composed.
        rounds: Number of rounds.
        seconds: Seconds of each measurement, after 3 s of warm-up.
    """
    arguments: dict[str, object] = {"repository": str(repository.resolve()), "default_model": model}
    arguments |= {"pin_cores": form == "servers", "log_level": "warning"}
    package, data = Repository(repository).resolve(model), image.read_bytes()
    speeds: dict[tuple[str, int], list[Speed]] = {}
    for _ in range(rounds):
        for count in (1, 2):
            bare = Speed(images_per_second(package, data, count, seconds / 2))
            speeds.setdefault(("bare engines", count), []).append(bare)
            speeds.setdefault((form, count), []).append(measure(form, arguments, count, data, seconds))
            print({key: of[-1] for key, of in speeds.items()}, flush=True)
    write(model, {key: Speed(*map(statistics.median, zip(*of, strict=True))) for key, of in speeds.items()})
    print(describe_cpu())


def write(model: str, medians: dict[tuple[str, int], Speed]) -> None:
    """Append medians to the CSV, and print them."""
    new = not OUTPUT.exists()
    with OUTPUT.open("a", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        header = ("form", "model", "replicas", "images_per_second", "ratio", "replica_cpu_ms", "other_cpu_ms")
        rows.writerows([header] if new else [])
        for (form, count), of in medians.items():
            ratio = of.images_per_second / medians[form, 1].images_per_second
            row = (form, model, count, f"{of.images_per_second:.2f}", f"{ratio:.2f}")
            rows.writerow((*row, f"{of.replica_ms:.0f}", f"{of.other_ms:.0f}"))
            print(*row)


if __name__ == "__main__":
    tyro.cli(main)
