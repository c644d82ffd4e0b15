"""Measure the images of the Dockerfile: size on top of the base, and seconds from `docker run` to an answer.

    docker build --target cpu -t yolo-lineage:cpu . && docker build --target training -t yolo-lineage:training .
    python -m benchmarks.container_images

Servers run read-only on the host's network, with the bundled model. Writes benchmarks/results/container_images.csv.
"""

from __future__ import annotations

import csv
import statistics
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Final

import tyro

from benchmarks.cpu import describe_cpu
from benchmarks.protocols import SAMPLE
from benchmarks.running_server import is_ready, wait_for

RESULTS: Final = Path(__file__).resolve().parent / "results" / "container_images.csv"
BASE: Final = "python:3.11-slim-bookworm"
SERVER: Final = "cpu"
MEGABYTE: Final = 1_000_000  # as `docker images` counts


def main(images: tuple[str, ...] = (SERVER, "training"), rounds: int = 5, port: int = 18765) -> None:
    """Measure the images, print and write the results.

    Args:
        images: Tags of yolo-lineage. The server is started if `cpu` is among them.
        rounds: Starts, of which the medians are written.
        port: Free port for the servers.
    """
    rows = [
        ("megabytes_above_base", tag, f"{(size(f'yolo-lineage:{tag}') - size(BASE)) / MEGABYTE:.0f}") for tag in images
    ]
    if SERVER in images:
        starts = [start(port) for _ in range(rounds)]
        for name, seconds in zip(("seconds_to_ready", "seconds_to_answer"), zip(*starts, strict=True), strict=True):
            rows.append((name, SERVER, f"{statistics.median(seconds):.2f}"))
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["measure", "image", "value", "rounds", "cpu"])
        out.writerows([*row, rounds, describe_cpu()] for row in rows)
    print(RESULTS.read_text(encoding="utf-8"))


def size(image: str) -> int:
    """Return the bytes of an image and all its layers."""
    return int(docker("image", "inspect", "--format", "{{.Size}}", image))


def start(port: int) -> tuple[float, float]:
    """Start a server, and return the seconds until it was ready, and until it had answered an image."""
    began = time.perf_counter()
    options = ("--detach", "--rm", "--network=host", "--read-only", "--tmpfs=/tmp", f"--env=LINEAGE_PORT={port}")
    container = docker("run", *options, f"yolo-lineage:{SERVER}")
    try:
        wait_for(lambda: is_ready(port))
        ready = time.perf_counter() - began
        request = urllib.request.Request(f"http://127.0.0.1:{port}/detect", SAMPLE.read_bytes())
        request.add_header("Content-Type", "image/jpeg")
        urllib.request.urlopen(request).read()
        return ready, time.perf_counter() - began
    finally:
        docker("kill", container)
        wait_for(lambda: not docker("ps", "--quiet", "--filter", f"id={container}"))


def docker(*arguments: str) -> str:
    """Run docker, and return what it prints."""
    return subprocess.run(["docker", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    tyro.cli(main)
