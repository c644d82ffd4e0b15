"""Compare the time of two exports of one network, and their detections.

python -m benchmarks.candidates --before old.onnx --after new.onnx --image photo.jpg

Times are CPU milliseconds of one image on one thread: medians of rounds in which all configurations alternate. Writes
benchmarks/results/candidates.csv.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import tyro

from benchmarks.cpu import describe_cpu
from benchmarks.int8_speed import open_run, timed
from model_zoo.contract import pipeline
from model_zoo.contract.images import decode_image
from model_zoo.runtime.sessions import read_card

RESULTS = Path(__file__).parent / "results" / "candidates.csv"
COLUMNS = ("cpu", "configuration", "canvas", "before_ms", "after_ms", "ratio", "equal")
NAMES = ("onnxruntime fp32", "openvino fp32", "openvino bf16")


def main(before: Path, after: Path, image: Path, rounds: int = 40) -> None:
    """Measure both files and write the results.

    Args:
        before: A model in fp32.
        after: The same model, exported by another version.
        image: An image file.
        rounds: Number of measurements of each configuration.
    """
    card, pixels, cpu = read_card(after), decode_image(image.read_bytes()), describe_cpu()
    with RESULTS.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(COLUMNS)
        for size in ((384, 640), (640, 640)):
            feeds = pipeline.collate([pipeline.preprocess(card, pixels, size)], [pipeline.make_query(card)])
            for name in NAMES:
                old, new = (open_run(name, path, size) for path in (before, after))
                times = timed({"old": old, "new": new}, feeds, rounds)
                equal = all(np.array_equal(*pair) for pair in zip(old(feeds), new(feeds), strict=True))
                values = [f"{times['old']:.1f}", f"{times['new']:.1f}", f"{times['new'] / times['old']:.2f}"]
                out.writerow([cpu, name, f"{size[1]}x{size[0]}", *values, equal])


if __name__ == "__main__":
    tyro.cli(main)
