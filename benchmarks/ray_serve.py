"""Compare the throughput of one and of two replicas on Ray Serve, each pinned to a core.

    build/ray/bin/python -m benchmarks.ray_serve --repository MODELS --model yolov5n --image photo.jpg

Rounds alternate between both. Proxy, client and Ray itself run on the same cores: with one replica they have the other
core, with two they take from both. Writes medians to benchmarks/results/ray_serve.csv.
"""

from __future__ import annotations

import csv
import statistics
import threading
import time
from pathlib import Path

import tyro
from httpx2 import Client

from benchmarks.cpu import describe_cpu
from tests.service.deploy.ray.local_ray import LocalRay, configure

OUTPUT = Path(__file__).parent / "results" / "ray_serve.csv"
CLIENTS_PER_REPLICA = 3
WARM_UP_SECONDS = 3.0


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


def measure(form: str, arguments: dict[str, object], replicas: int, image: bytes, seconds: float) -> float:
    """Return the answers per second of a number of replicas of one core each."""
    one_core = {"num_replicas": replicas, "ray_actor_options": {"num_cpus": 1}}
    http = {"num_replicas": 1, "ray_actor_options": {"num_cpus": 0}} if form == "composed" else one_core
    with LocalRay(configure(form, arguments, Server=http, Engines=one_core)) as ray:
        ray.wait_until_ready().wait_for("Engines" if form == "composed" else "Server", replicas)
        return count_answers(ray.url, image, CLIENTS_PER_REPLICA * replicas, seconds)


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
    speeds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for replicas, of in speeds.items():
            of.append(measure(form, arguments, replicas, image.read_bytes(), seconds))
            print(f"{form}, {model}, {replicas} replicas: {of[-1]:.1f} images/s", flush=True)
    medians = {replicas: statistics.median(of) for replicas, of in speeds.items()}
    new = not OUTPUT.exists()
    with OUTPUT.open("a", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerows([("form", "model", "replicas", "images_per_second", "ratio")] if new else [])
        rows.writerows((form, model, n, f"{speed:.1f}", f"{speed / medians[1]:.2f}") for n, speed in medians.items())
    print(f"{medians[2] / medians[1]:.2f} times the throughput; {describe_cpu()}")


if __name__ == "__main__":
    tyro.cli(main)
