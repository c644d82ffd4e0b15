"""Compare JPEGs decoded at full size with those decoded at the size that a model needs: CPU time and accuracy.

    python -m benchmarks.decode --data coco_mini --repository models --model yolov5n

Times are CPU times of one thread from file to canvas, the median over images and alternating rounds. For the accuracy,
the images of a split are enlarged and saved as JPEG of quality 90. Writes decode.csv and decode_ap.csv.
"""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray

from benchmarks.cpu import describe_cpu
from model_zoo.contract.images import decode_image
from model_zoo.contract.letterbox import Size
from model_zoo.contract.pipeline import read_input
from training.data.dataset import Dataset, Record
from training.data.open import open_dataset
from training.evaluate.evaluation import EvaluationImages, evaluate
from training.evaluate.source import Source, open_source

RESULTS = Path(__file__).parent / "results"
SIZES: tuple[Size, ...] = ((480, 640), (720, 1280), (1080, 1920), (3000, 4000))
TILE: Size = (480, 640)
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90]
FACTORS = (2, 3, 4, 6)


@dataclass(frozen=True)
class Time:
    """CPU time of one kind of file."""

    width: int
    height: int
    detail: str
    kilobytes: int
    exact_ms: float
    reduced_ms: float


@dataclass(frozen=True)
class Accuracy:
    """AP of a model on enlarged images."""

    factor: int
    exact_ap: float
    reduced_ap: float
    exact_ap50: float
    reduced_ap50: float


def main(
    data: Path, repository: Path, model: str = "yolov5n", split: str = "val", rounds: int = 5, accuracy: bool = True
) -> None:
    """Measure and write the results.

    Args:
        data: Dataset.
        repository: Folder of the model.
        model: Model to read images for.
        split: Split of the images.
        rounds: Rounds of the times.
        accuracy: Whether to measure the accuracy, too.
    """
    print(describe_cpu())
    cv2.setNumThreads(1)
    dataset, source = open_dataset(data), open_source(model, repository)
    images = [decode_image(record.path.read_bytes()) for record in dataset.split(split).records]
    write("decode.csv", list(measure_times(images, source, rounds)))
    if accuracy:
        write("decode_ap.csv", [measure_accuracy(dataset, split, source, factor) for factor in FACTORS])


def measure_times(images: Sequence[NDArray[np.uint8]], source: Source, rounds: int) -> Iterator[Time]:
    """Yield the times of one enlarged image per file, which is smooth, and of tiles of many, as dense as a camera's."""
    for size in SIZES:
        for detail in ("enlarged", "tiled"):
            make = enlarge if detail == "enlarged" else tile
            files = [encode(make(images[start:], size)) for start in range(0, 15, 5)]
            times: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(rounds):
                for exact, spent in times.items():
                    spent += [time_reading(source, file, exact) for file in files]
            exact_ms, reduced_ms = (round(1000 * statistics.median(times[exact]), 2) for exact in (True, False))
            kilobytes = statistics.mean(map(len, files)) / 1000
            yield Time(size[1], size[0], detail, round(kilobytes), exact_ms, reduced_ms)


def time_reading(source: Source, file: bytes, exact: bool) -> float:
    """Return the CPU seconds from a file to its canvas."""
    start = time.thread_time()
    read_input(source.card, file, source.canvases, exact=exact)
    return time.thread_time() - start


def measure_accuracy(dataset: Dataset, split: str, source: Source, factor: int) -> Accuracy:
    """Evaluate on the images of a split, enlarged by a factor, through both ways of decoding."""
    with TemporaryDirectory() as folder:
        records = [enlarged(record, factor, Path(folder)) for record in dataset.split(split).records]
        metrics = [
            evaluate(
                source.card,
                source.run,
                dataset,
                EvaluationImages(records, source.card, canvases=source.canvases, exact=exact),
            ).metrics
            for exact in (True, False)
        ]
    values = [round(float(value), 4) for name in ("ap", "ap50") for value in (getattr(m, name) for m in metrics)]
    return Accuracy(factor, *values)


def enlarged(record: Record, factor: int, folder: Path) -> Record:
    """Write a larger copy of an image, and return its record. Areas count as in the original, for AP by size."""
    size = (record.size[0] * factor, record.size[1] * factor)
    path = folder / f"{record.image_id}.jpg"
    path.write_bytes(encode(enlarge([decode_image(record.path.read_bytes())], size)))
    return replace(record, path=path, size=size, boxes=record.boxes * factor)


def enlarge(images: Sequence[NDArray[np.uint8]], size: Size) -> NDArray[np.uint8]:
    """Return the first image at another size."""
    return np.asarray(cv2.resize(images[0], size[::-1], interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def tile(images: Sequence[NDArray[np.uint8]], size: Size) -> NDArray[np.uint8]:
    """Return an image of many small ones."""
    small = [enlarge([image], TILE) for image in images]
    columns, rows = -(-size[1] // TILE[1]), -(-size[0] // TILE[0])
    lines = [
        np.hstack([small[(row * columns + column) % len(small)] for column in range(columns)]) for row in range(rows)
    ]
    return np.ascontiguousarray(np.vstack(lines)[: size[0], : size[1]])


def encode(image: NDArray[np.uint8]) -> bytes:
    """Return an RGB image as JPEG."""
    return cv2.imencode(".jpg", image[..., ::-1], QUALITY)[1].tobytes()


def write(name: str, rows: Sequence[Any]) -> None:
    """Write rows to a CSV file of the results, and print them."""
    with (RESULTS / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(rows[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, rows))
    print(*map(asdict, rows), sep="\n")


if __name__ == "__main__":
    tyro.cli(main)
