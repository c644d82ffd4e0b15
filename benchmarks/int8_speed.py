"""Measure the time of fp32, bf16 and int8 on one thread, per canvas and provider, with the AP at 640 x 640.

    python -m benchmarks.int8_speed --fp32 yolov5n.onnx --int8 yolov5n-int8.onnx --data coco_mini --split val2017

Times are CPU milliseconds of one image: medians of rounds in which the configurations alternate. The first is ONNX
Runtime in fp32, and the others are compared with it. Writes benchmarks/results/int8_speed.csv.
"""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
import tyro

from benchmarks.cpu import describe_cpu
from benchmarks.int8_forms import measure
from model_zoo.contract import pipeline
from model_zoo.contract.images import decode_image
from model_zoo.contract.letterbox import Size
from model_zoo.runtime.base import Compute, Provider
from model_zoo.runtime.sessions import make_session, read_card
from training.data.open import open_dataset

RESULTS = Path(__file__).parent / "results" / "int8_speed.csv"
COLUMNS = ("cpu", "configuration", "canvas", "ms", "speedup", "ap", "agreement")
SIZES: tuple[Size, ...] = ((384, 640), (480, 640), (640, 640))
CONFIGURATIONS: Mapping[str, tuple[str, Provider, Compute]] = {
    "onnxruntime fp32": ("fp32", "cpu", "fp32"),
    "onnxruntime int8": ("int8", "cpu", "fp32"),
    "openvino fp32": ("fp32", "openvino", "fp32"),
    "openvino bf16": ("fp32", "openvino", "bf16"),
    "openvino int8": ("int8", "openvino", "fp32"),
}


def main(fp32: Path, int8: Path, data: Path, split: str, rounds: int = 15) -> None:
    """Measure every configuration and write the results.

    Args:
        fp32: The model in fp32.
        int8: The model in int8.
        data: Dataset in a format that `lineage data` reads.
        split: Split to evaluate on.
        rounds: Number of measurements of each configuration.
    """
    dataset, card, cpu = open_dataset(data), read_card(fp32), describe_cpu()
    records = dataset.split(split).records
    image = decode_image(records[0].path.read_bytes())
    with RESULTS.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(COLUMNS)
        for size in SIZES:
            sessions = {
                name: make_session(
                    {"fp32": fp32, "int8": int8}[precision],
                    provider=provider,
                    compute=compute,
                    size=size,
                    max_batch=1,
                    precision="int8" if precision == "int8" else "fp32",
                )
                for name, (precision, provider, compute) in CONFIGURATIONS.items()
            }
            feeds = pipeline.collate([pipeline.preprocess(card, image, size)], [pipeline.make_query(card)])
            times = timed(sessions, dict(feeds), rounds)
            accuracy = measure(sessions, dataset, records) if size == card.input_size else {}
            for name, ms in times.items():
                ap, _, agreement = (f"{value:.4f}" for value in accuracy[name]) if accuracy else ("", "", "")
                row = (cpu, name, f"{size[1]}x{size[0]}", f"{ms:.1f}", f"{times['onnxruntime fp32'] / ms:.2f}")
                out.writerow([*row, ap, agreement])


def timed(sessions: Mapping[str, ort.InferenceSession], feeds: dict[str, np.ndarray], rounds: int) -> dict[str, float]:
    """Return the median CPU milliseconds of each session, measured in turns."""
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds + 1):
        for name, session in sessions.items():
            start = time.process_time()
            session.run(None, feeds)
            times[name].append((time.process_time() - start) * 1000)
    return {name: statistics.median(own[1:]) for name, own in times.items()}  # the first run allocates


if __name__ == "__main__":
    torch.set_num_threads(1)
    tyro.cli(main)
