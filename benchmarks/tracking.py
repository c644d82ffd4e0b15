"""Measure the tracker on synthetic videos of objects with known numbers: IDF1, and its time per frame.

    python -m benchmarks.tracking

Writes benchmarks/results/tracking.csv.
"""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import tyro
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.cpu import describe_cpu
from model_zoo.contract.boxes import pairwise_iou
from model_zoo.contract.detections import Detections
from model_zoo.tracking import Tracker

RESULTS: Final = Path(__file__).parent / "results" / "tracking.csv"
FIELDS: Final = ("objects", "videos", "frames", "idf1_median", "idf1_min", "ms_per_frame", "cpu")
HEIGHT, WIDTH, RATE = 720, 1280, 30
FRAMES: Final = 300
MIN_IOU: Final = 0.5
Boxes = NDArray[np.float64]


@dataclass
class Scene:
    """Objects of a video."""

    boxes: Boxes
    """True boxes (frames, objects, 4)."""
    visible: NDArray[np.bool_]
    """Whether an object is in a frame (frames, objects)."""


def main(objects: tuple[int, ...] = (10, 20), videos: int = 10) -> None:
    """Measure, print and write the results.

    Args:
        objects: Numbers of objects.
        videos: Videos for each number.
    """
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(FIELDS)
        for count in objects:
            scores, seconds = zip(*(measure(count, seed) for seed in range(videos)), strict=True)
            milliseconds = round(1000 * statistics.median(seconds), 2)
            row = [count, videos, FRAMES, round(statistics.median(scores), 3), round(min(scores), 3), milliseconds]
            table.writerow([*row, describe_cpu()])
            print(*row)


def measure(objects: int, seed: int) -> tuple[float, float]:
    """Return IDF1 of one video, and the seconds of CPU time for each frame."""
    rng = np.random.default_rng(seed)
    scene, tracker = make_scene(objects, rng), Tracker()
    observed = list(observe(scene, rng))
    start = time.process_time()
    tracked = [tracker.update(found, number / RATE) for number, found in enumerate(observed)]
    return idf1(scene, tracked), (time.process_time() - start) / len(tracked)


def make_scene(objects: int, rng: np.random.Generator) -> Scene:
    """Return objects that cross the image on winding paths. Each is hidden once, for 1 to 12 frames."""
    frames = np.arange(FRAMES)[:, None]
    speed = rng.uniform(3, 7, objects) * np.where(np.arange(objects) % 2, 1, -1)
    start = np.where(speed > 0, -50, WIDTH + 50) - speed * rng.integers(0, 60, objects)
    x = start + speed * frames
    y = np.linspace(60, HEIGHT - 160, objects) + 40 * np.sin(frames / 40 + rng.uniform(0, 6, objects))
    width, height = rng.uniform(40, 80, objects), rng.uniform(60, 120, objects)
    hidden = rng.integers(60, 200, objects)
    gap = (frames >= hidden) & (frames < hidden + rng.integers(1, 13, objects))
    inside = (x + width / 2 > 0) & (x + width / 2 < WIDTH)
    return Scene(np.stack([x, y, x + width, y + height], axis=2), inside & ~gap)


def observe(scene: Scene, rng: np.random.Generator) -> Iterator[Detections]:
    """Yield what a detector finds: boxes off by 2 pixels, 5 % missed, and a false one in 30 % of the frames."""
    for boxes, visible in zip(scene.boxes, scene.visible, strict=True):
        seen = visible & (rng.random(len(visible)) > 0.05)
        found = boxes[seen] + rng.normal(0, 2, (seen.sum(), 4))
        scores = rng.uniform(0.35, 0.95, len(found))
        if rng.random() < 0.3:
            corner = rng.uniform(0, 600, 2)
            found = np.concatenate([found, [[*corner, *(corner + 60)]]])
            scores = np.append(scores, rng.uniform(0.25, 0.6))
        order = np.argsort(-scores)
        yield Detections(
            found[order].astype(np.float32), scores[order].astype(np.float32), np.zeros(len(found), np.int64)
        )


def idf1(scene: Scene, tracked: Sequence[Detections]) -> float:
    """Return IDF1 (Ristani et al., 2016): each object is assigned one number, so that most of its boxes have it."""
    numbers = sorted({number for found in tracked for number in found.tracks() if number is not None})
    matches = np.zeros((scene.visible.shape[1], len(numbers)))
    for boxes, visible, found in zip(scene.boxes, scene.visible, tracked, strict=True):
        overlap = (pairwise_iou(boxes, found.boxes) >= MIN_IOU) & visible[:, None]
        for column, number in zip(overlap.T, found.tracks(), strict=True):
            if number is not None:
                matches[:, numbers.index(number)] += column
    matched = matches[linear_sum_assignment(-matches)].sum()
    numbered = sum(number is not None for found in tracked for number in found.tracks())
    return float(2 * matched / (scene.visible.sum() + numbered))


if __name__ == "__main__":
    tyro.cli(main)
