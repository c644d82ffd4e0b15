"""Measure how many training images one core prepares per second, alone and next to training steps.

    python benchmarks/loader.py --images FOLDER

All times are CPU times, not wall time, so other load on the machine matters little. Rounds alternate between the
subjects, and the median counts. Writes benchmarks/results/loader.csv.
"""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch
import tyro
from numpy.random import default_rng
from numpy.typing import NDArray

from model_zoo.contract.images import probe
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from model_zoo.detector import to_network
from model_zoo.registry import build
from training.augment import mosaic
from training.augment.augmenter import Augmenter
from training.augment.canvas import Corner, paste
from training.augment.geometry import Matrix, about_center, draw_affine, warp
from training.batch import Batch, Sample
from training.config import Cache
from training.data.dataset import Record, Split
from training.data.loading.image_cache import CachedImages
from training.data.loading.loader import TrainingLoader
from training.recipe import Augmentation

RESULTS = Path(__file__).parent / "results"
POLICY = LetterboxPolicy()
V5 = Augmentation()
RECIPES = {
    "one image": replace(V5, mosaic=0),
    "YOLOv5": V5,
    "YOLOv7": replace(V5, mosaic_nine=0.2, mixup=0.15, mixup_beta=8, translate=0.2, scale=(0.1, 2.0)),
    "YOLOX": replace(V5, mixup=1.0, mixup_beta=0, affine="corner", degrees=10, shear=2, scale=(0.1, 2.0)),
}
BATCH = 16


@dataclass(frozen=True)
class Row:
    """Speed of one subject on one core."""

    subject: str
    side: int
    images_per_second: float
    ms: float


def main(images: Path, limit: int = 96, rounds: int = 7) -> None:
    """Measure and write the results.

    Args:
        images: Folder of JPEG images.
        limit: Maximum number of images.
        rounds: Number of rounds, each of which runs every subject.
    """
    split = Split("train", tuple(record(path) for path in sorted(images.glob("*.jpg"))[:limit]), "")
    cv2.setNumThreads(0)
    rows = [row for side in (320, 640) for row in measure(pipelines(split, side) | mosaics(split, side), side, rounds)]
    rows += with_training(split, 320)
    with (RESULTS / "loader.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def record(path: Path) -> Record:
    """Return a record of an image with ten random boxes. Their positions do not affect the speed."""
    size = probe(path.read_bytes()).size
    corners = np.sort(default_rng(0).random((10, 2, 2)), axis=1) * (size[1], size[0])
    nothing = np.zeros(10, np.float32)
    return Record(path, size, corners.reshape(-1, 4).astype(np.float32), np.zeros(10, int), nothing > 0, nothing, 0)


def pipelines(split: Split, side: int) -> dict[str, Callable[[int], object]]:
    """Return functions that make one sample: each recipe, and YOLOv5's without the image cache."""

    def augmenter(recipe: Augmentation, cache: Cache) -> Callable[[int], Sample]:
        images = CachedImages(split.records, (side, side), POLICY, cache, 1)
        make = Augmenter(images, recipe, (side, side), POLICY)
        for index in range(len(images)):
            images[index]
        return lambda number: make(number % len(images), default_rng(number))

    subjects: dict[str, Callable[[int], object]] = {
        f"{name}, from memory": augmenter(recipe, "memory") for name, recipe in RECIPES.items()
    }
    return subjects | {"YOLOv5, from files": augmenter(V5, "off")}


def mosaics(split: Split, side: int) -> dict[str, Callable[[int], object]]:
    """Return two ways to warp a mosaic of four: through a canvas, and each tile directly into the output."""
    images = CachedImages(split.records, (side, side), POLICY, "memory", 1)
    tiles = [images[index % len(images)] for index in range(4)]
    canvas: Size = (2 * side, 2 * side)

    def random_mosaic(number: int) -> tuple[list[Corner], Matrix]:
        rng = default_rng(number)
        corners = mosaic.place_four(mosaic.draw_center(canvas, rng), [tile.pixels.shape[:2] for tile in tiles])
        return corners, about_center(draw_affine(V5, rng), canvas, (side, side))

    def over_canvas(number: int) -> None:
        corners, matrix = random_mosaic(number)
        warp(paste(tiles, corners, canvas, POLICY.fill).pixels, matrix, (side, side), POLICY.fill)

    def tile_by_tile(number: int) -> None:
        corners, matrix = random_mosaic(number)
        view = np.full((side, side, 3), POLICY.fill, np.uint8)
        for tile, corner in zip(tiles, corners, strict=True):
            warp_into(view, tile.pixels, corner, matrix)

    return {"mosaic over a canvas": over_canvas, "mosaic tile by tile": tile_by_tile}


def warp_into(view: NDArray[np.uint8], pixels: NDArray[np.uint8], corner: Corner, matrix: Matrix) -> None:
    """Warp one tile into the part of the output that it can cover."""
    own = matrix @ np.array([[1, 0, corner[1]], [0, 1, corner[0]], [0, 0, 1]])
    height, width = pixels.shape[:2]
    ends = own[:2, :2] @ [[0, width, 0, width], [0, 0, height, height]] + own[:2, 2:]
    x1, y1 = np.clip(np.floor(ends.min(axis=1)), 0, view.shape[0]).astype(int)
    x2, y2 = np.clip(np.ceil(ends.max(axis=1)), 0, view.shape[0]).astype(int)
    if x1 < x2 and y1 < y2:
        own[:2, 2] -= x1, y1
        part = view[y1:y2, x1:x2]
        cv2.warpAffine(pixels, own[:2], (x2 - x1, y2 - y1), dst=part, borderMode=cv2.BORDER_TRANSPARENT)


def measure(subjects: dict[str, Callable[[int], object]], side: int, rounds: int) -> list[Row]:
    """Run the subjects in turns, each for the samples of four batches."""
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds):
        for name, make in subjects.items():
            start = time.process_time()
            for sample in range(4 * BATCH):
                make(number * 4 * BATCH + sample)
            times[name].append((time.process_time() - start) / (4 * BATCH))
    return [row(name, side, statistics.median(seconds)) for name, seconds in times.items()]


def with_training(split: Split, side: int) -> list[Row]:
    """Measure training steps of yolov5n on one thread, with prepared batches and with those of a worker."""
    torch.set_num_threads(1)  # waiting threads spin, which would count as work
    loader = TrainingLoader(
        split=split,
        augmentation=V5,
        image_size=(side, side),
        policy=POLICY,
        stride=32,
        batch=BATCH,
        workers=1,
        seed=0,
    )
    step, epochs, images = training_step(), count(1), loader.steps_per_epoch * BATCH
    batches = list(loader.epoch(0))  # starts the worker and fills the cache
    step(batches[0])  # the first one is slower
    subjects: dict[str, Callable[[], object]] = {
        "batches of one worker": lambda: list(loader.epoch(next(epochs))),
        "training steps of yolov5n": lambda: [step(batch) for batch in batches],
        "both": lambda: [step(batch) for batch in loader.epoch(next(epochs))],
    }
    times = [{name: cost(call) / images for name, call in subjects.items()} for _ in range(3)]
    loader.close()
    return [row(name, side, statistics.median(round_[name] for round_ in times)) for name in subjects]


def cost(call: Callable[[], object]) -> float:
    """Return the CPU seconds of this process and its workers during `call`."""
    own = psutil.Process()
    processes = [own, *own.children(recursive=True)]
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    call()
    return sum(sum(process.cpu_times()[:2]) for process in processes) - before


def training_step() -> Callable[[Batch], None]:
    """Return a training step of yolov5n in bfloat16, with a stand-in for the losses."""
    model = build("yolov5n").train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), 1e-5, fused=True)

    def step(batch: Batch) -> None:
        images = to_network(batch.images, model.input_spec).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            maps = model(images)
        torch.stack([level.float().square().mean() for level in maps]).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def row(subject: str, side: int, seconds: float) -> Row:
    """Build a row from the seconds per image."""
    return Row(subject, side, round(1 / seconds, 1), round(seconds * 1e3, 2))


if __name__ == "__main__":
    tyro.cli(main)
