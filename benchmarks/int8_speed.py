"""Measure the time of fp32, bf16 and int8 on one thread, per canvas and provider, with the AP at 640 x 640.

    python -m benchmarks.int8_speed --fp32 yolov5n.onnx --int8 yolov5n-int8.onnx --data coco_mini --split val2017

Times are CPU milliseconds of one image: medians of rounds in which the configurations alternate. The first is ONNX
Runtime in fp32, and the others are compared with it. Replaces the rows of this CPU in
benchmarks/results/int8_speed.csv.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from benchmarks.cpu import describe_cpu, replace_rows
from benchmarks.int8_forms import measure, open_openvino, run_of
from model_zoo.contract import letterbox, pipeline
from model_zoo.contract.card import ModelCard, Precision
from model_zoo.contract.images import decode_image
from model_zoo.contract.letterbox import Size
from model_zoo.contract.pipeline import Feeds, ModelInput, Run
from model_zoo.runtime.base import Compute, Provider
from model_zoo.runtime.sessions import make_session, read_card
from training.data.open import open_dataset

RESULTS = Path(__file__).parent / "results" / "int8_speed.csv"
COLUMNS = ("cpu", "configuration", "canvas", "ms", "speedup", "ap", "agreement")
SIZES: tuple[Size, ...] = ((384, 640), (480, 640), (640, 640))
CONFIGURATIONS: Mapping[str, tuple[Precision, Provider, Compute]] = {
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
    rows = []
    for size in SIZES:
        files = {"fp32": fp32, "int8": int8}
        runs = {name: open_run(name, files[precision], size) for name, (precision, _, _) in CONFIGURATIONS.items()}
        feeds = pipeline.collate([on_canvas(card, image, size)], [pipeline.make_query(card)])
        times = timed(runs, feeds, rounds)
        accuracy = measure(runs, card, dataset, records) if size == card.input_size else {}
        for name, ms in times.items():
            ap, _, agreement = (f"{value:.4f}" for value in accuracy[name]) if accuracy else ("", "", "")
            row = (cpu, name, f"{size[1]}x{size[0]}", f"{ms:.1f}", f"{times['onnxruntime fp32'] / ms:.2f}")
            rows.append([*row, ap, agreement])
    replace_rows(RESULTS, COLUMNS, rows)


def on_canvas(card: ModelCard, image: NDArray[np.uint8], size: Size) -> ModelInput:
    """Letterbox an image onto any canvas. The one that its model would choose may have another size."""
    geometry = letterbox.plan(card.letterbox, (image.shape[0], image.shape[1]), size)
    return ModelInput(letterbox.apply(image, geometry, card.letterbox.fill), geometry)


def open_run(name: str, model: Path, size: Size) -> Run:
    """Return the function that runs feeds of one canvas through a model in a configuration."""
    precision, provider, compute = CONFIGURATIONS[name]
    if provider == "openvino":
        return open_openvino(model, size, precision=precision, compute=compute)
    return run_of(make_session(model, size=size, max_batch=1, precision=precision))


def timed(runs: Mapping[str, Run], feeds: Feeds, rounds: int) -> dict[str, float]:
    """Return the median CPU milliseconds of each function, measured in turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            run(feeds)
            times[name].append((time.process_time() - start) * 1000)
    return {name: statistics.median(own[1:]) for name, own in times.items()}  # the first run allocates


if __name__ == "__main__":
    torch.set_num_threads(1)
    tyro.cli(main)
