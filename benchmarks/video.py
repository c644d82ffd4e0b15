"""Compare the frames/s of a video with the images/s of its frames as JPEG files, in one process.

    python -m benchmarks.video --repository models --model yolov5n --images coco_mini/images

Writes benchmarks/results/video.csv: medians of alternating rounds.
"""

from __future__ import annotations

import csv
import itertools
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import tyro

from benchmarks.cpu import describe_cpu
from model_zoo.contract import pipeline
from model_zoo.contract.frames import Pixels
from model_zoo.contract.images import decode_image
from model_zoo.contract.images.files import find_images, read_image_file, write_image
from model_zoo.contract.repository import Repository
from model_zoo.outputs.drawn import save_drawn
from model_zoo.outputs.video import VideoWriter
from model_zoo.runtime.detect_frames import Result, detect_frames
from model_zoo.runtime.open import open_engine
from model_zoo.sources.open import open_sources

RESULTS: Final = Path(__file__).parent / "results" / "video.csv"
FIELDS: Final = ("model", "engine", "workers", "source", "size", "frames", "per_second", "ratio", "cpu")
HEIGHT, WIDTH, RATE = 720, 1280, 30


def main(repository: Path, model: str, images: Path, seconds: int = 10, rounds: int = 3) -> None:
    """Measure, print and write the results.

    Args:
        repository: Folder of the repository.
        model: Name in the repository.
        images: Folder of images. The video pans over them.
        seconds: Length of the video.
        rounds: Number of rounds.
    """
    package = Repository(repository).resolve(model)
    engine, query = open_engine(package), pipeline.make_query(package.card)
    names = package.card.class_names
    with tempfile.TemporaryDirectory() as folder:
        files, clip, drawn = Path(folder) / "files", Path(folder) / "clip.mp4", Path(folder) / "drawn.mp4"
        count = write_inputs(pan(find_images(images), seconds * RATE), files, clip)

        def detect(source: Path) -> Iterator[Result]:
            return detect_frames(engine, query, open_sources([source]))

        kinds: dict[str, Callable[[], Iterable[object]]] = {
            "JPEG files": lambda: detect(files),
            "video": lambda: detect(clip),
            "video, drawn": lambda: save_drawn(detect(clip), {str(clip): drawn}, names, engine.workers),
            "decoding the video": lambda: (frame.pixels() for frame in open_sources([clip])),
        }
        rates = measure(kinds, count, rounds)
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(FIELDS)
        for kind, rate in rates.items():
            ratio = round(rate / rates["JPEG files"], 3)
            head = [package.name, engine.device, engine.workers, kind, f"{WIDTH}x{HEIGHT}", count]
            table.writerow([*head, round(rate, 1), ratio, describe_cpu()])
            print(f"{kind:20} {rate:7.1f}/s  {ratio:.3f}")
    engine.close()


def measure(kinds: dict[str, Callable[[], Iterable[object]]], count: int, rounds: int) -> dict[str, float]:
    """Return the median rate of each kind in alternating rounds, after a second of the video to warm up."""
    for run in kinds.values():
        deque(itertools.islice(run(), RATE), maxlen=0)
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, run in kinds.items():
            start = time.perf_counter()
            deque(run(), maxlen=0)
            rates[kind].append(count / (time.perf_counter() - start))
    return {kind: statistics.median(values) for kind, values in rates.items()}


def pan(images: list[Path], count: int) -> Iterator[Pixels]:
    """Yield frames that pan over one image a second."""
    for number in range(count):
        if number % RATE == 0:
            image = decode_image(read_image_file(images[number // RATE % len(images)]))
            wide = np.asarray(cv2.resize(image, (WIDTH + 4 * RATE, HEIGHT + 2 * RATE)), np.uint8)
        left, top = 4 * (number % RATE), 2 * (number % RATE)
        yield np.ascontiguousarray(wide[top : top + HEIGHT, left : left + WIDTH])


def write_inputs(frames: Iterable[Pixels], files: Path, clip: Path) -> int:
    """Write the frames as JPEG files and as a video. Return their number."""
    number = -1
    with VideoWriter(clip) as writer:
        for number, frame in enumerate(frames):
            write_image(files / f"{number:06}.jpg", frame)
            writer.write(frame, number / RATE)
    return number + 1


if __name__ == "__main__":
    tyro.cli(main)
