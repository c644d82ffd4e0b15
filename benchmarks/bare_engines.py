"""Throughput of engines pinned to a core each, with nothing around them: what the cores allow replicas or workers.

python -m benchmarks.bare_engines --repository MODELS --model yolov5n --image photo.jpg
"""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import tyro

from model_zoo.contract import pipeline
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.open import open_engine

START_SECONDS = 15.0  # for processes to start and to open the model


def images_per_second(package: Package, image: bytes, cores: int, seconds: float) -> float:
    """Return the images that so many engines detect on per second, all of them at the same time."""
    first = sorted(os.sched_getaffinity(0))[:cores]
    begin = time.time() + START_SECONDS
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        speeds = [pool.submit(_measure, package, image, core, begin, seconds) for core in first]
        return sum(speed.result() for speed in speeds)


def _measure(package: Package, image: bytes, core: int, begin: float, seconds: float) -> float:
    """Return the images per second of one engine on one core, from a given time."""
    os.sched_setaffinity(0, {core})
    cv2.setNumThreads(1)
    engine = open_engine(package, EngineOptions(provider="cpu", compute="fp32", workers=1, threads=1))
    inputs = [pipeline.read_input(engine.card, image, engine.canvases)]
    query, count = pipeline.make_query(engine.card), 0
    pipeline.detect_inputs(engine.run, inputs, query)
    if time.time() > begin:
        raise SystemExit(f"opening the model took more than {START_SECONDS} s; is the machine busy?")
    while (now := time.time()) < begin + seconds:
        if now >= begin:
            pipeline.detect_inputs(engine.run, inputs, query)
            count += 1
    return count / (time.time() - begin)


def main(repository: Path, model: str, image: Path, seconds: float = 10) -> None:
    """Print the throughput of one engine and of two.

    Args:
        repository: Folder of model packages.
        model: Model to measure.
        image: JPEG file to detect on.
        seconds: Seconds of each measurement.
    """
    package = Repository(repository).resolve(model)
    for cores in (1, 2):
        print(f"{cores}: {images_per_second(package, image.read_bytes(), cores, seconds):.2f} images/s")


if __name__ == "__main__":
    tyro.cli(main)
