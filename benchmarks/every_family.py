"""Export full-size models of every generation, compare them with torch on an image, and build TensorRT plans.

    python -m benchmarks.every_family --image photo.jpg

The fp32 file of each variant is compared with the network in torch. TensorRT-RTX builds a plan of the fp16 file with
NMS inside, ahead of time. It needs no GPU, and nothing runs the plan. Weights are random, but batch norms have the
statistics of their input, as in a trained network. Predictions therefore depend on the image. Writes
benchmarks/results/exports.csv, one row after another.
"""

from __future__ import annotations

import csv
import math
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, fields, replace
from itertools import repeat
from pathlib import Path

import numpy as np
import onnx
import torch
import tyro
from torch import nn

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError
from model_zoo.contract.images import decode_image
from model_zoo.contract.pipeline import preprocess
from model_zoo.detector import Detector, to_network
from model_zoo.export.card import build_export_card
from model_zoo.export.parity import TOLERANCES
from model_zoo.export.sessions import open_model
from model_zoo.export.synthetic_images import ImageBatch, synthetic_images
from model_zoo.export.tensorrt import PlanOptions, build_plan
from model_zoo.export.write_model import write_model
from model_zoo.registry import build

RESULTS = Path(__file__).parent / "results" / "exports.csv"
VARIANTS = (
    *("yolov1-paper", "yolov1", "yolov2", "yolov3", "yolov4", "yolov4-csp"),
    *("yolov5s", "yolov5l", "yolov5s6", "yolox-s", "yolox-l"),
    *("yolov6s", "yolov6m", "yolov6s-v3", "yolov6m-v3", "yolov6n6-v3", "yolov7", "yolov7-w6"),
)


@dataclass(frozen=True)
class Row:
    """Results of one variant."""

    variant: str
    height: int
    width: int
    params: int
    gflops: float
    file_mb: float = math.nan
    """Size of the fp32 file."""

    export_s: float = math.nan
    """CPU seconds of the fp32 export."""

    score_difference: float = math.nan
    """Largest difference of a score."""

    box_difference: float = math.nan
    """Largest difference of a box, as a share of its larger side."""

    fp16_file_mb: float = math.nan
    """Size of the fp16 file."""

    plan_mb: float = math.nan
    """Size of the plan."""

    build_s: float = math.nan
    """CPU seconds of the build."""

    peak_gb: float = math.nan
    """Peak memory of the process."""

    outcome: str = "ok"
    """`ok`, or the error."""

    def cells(self) -> list[object]:
        """Return the values to write, measurements with four significant digits."""
        return [*astuple(self)[:5], *(f"{value:.4g}" for value in astuple(self)[5:-1]), self.outcome]


def main(image: Path, variants: tuple[str, ...] = VARIANTS, compute_capability: str = "8.9") -> None:
    """Export, compare, build and write the results.

    Args:
        image: Image to compare on.
        variants: Variants to export.
        compute_capability: Compute capability of the GPU that plans are built for.
    """
    names = [field.name for field in fields(Row)]
    spawn = multiprocessing.get_context("spawn")  # a process per variant, so that peak memory is its own
    with (
        RESULTS.open("w", newline="") as file,
        ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes,
    ):
        out = csv.writer(file)
        out.writerow(names)
        for row in processes.map(measure, variants, repeat(image), repeat(compute_capability)):
            out.writerow(row.cells())
            file.flush()
            print(*row.cells(), flush=True)


def measure(variant: str, image: Path, compute_capability: str) -> Row:
    """Export a variant and build its plan. On an error, the row has the results so far."""
    torch.manual_seed(0)
    detector = enliven(build(variant))
    card = build_export_card(detector, variant, output="raw")
    row = Row(variant, *card.input_size, card.params, card.gflops)
    with tempfile.TemporaryDirectory() as folder:
        try:
            row = exported(row, detector, card, image, Path(folder) / "fp32.onnx")
            half = replace(card, output="detections", precision="fp16")
            row = built(row, detector, half, compute_capability, Path(folder) / "fp16.onnx")
        except LineageError as error:
            row = replace(row, outcome=str(error))
    return replace(row, peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)  # Linux counts in kB


def exported(row: Row, detector: Detector, card: ModelCard, image: Path, path: Path) -> Row:
    """Write the fp32 file and compare it with torch on the image."""
    start = time.process_time()
    write_model(detector, card, path)
    seconds = time.process_time() - start
    score, box = compare(detector, path, preprocess(card, decode_image(image.read_bytes())).pixels[None])
    allowed = TOLERANCES["fp32"]
    within = score <= allowed.score and box <= allowed.box
    return replace(
        row,
        file_mb=megabytes(path),
        export_s=seconds,
        score_difference=score,
        box_difference=box,
        outcome="ok" if within else "differs on the image",
    )


def built(row: Row, detector: Detector, card: ModelCard, compute_capability: str, path: Path) -> Row:
    """Write the fp16 file with NMS inside and build its plan. Raises LineageError if the build fails."""
    write_model(detector, card, path)
    start = time.process_time()
    plan = build_plan(path, card, PlanOptions(compute_capabilities=(compute_capability,)))
    seconds = time.process_time() - start
    return replace(row, fp16_file_mb=megabytes(path), plan_mb=len(plan) / 1e6, build_s=seconds)


def megabytes(path: Path) -> float:
    """Return the size of a file in MB."""
    return path.stat().st_size / 1e6


@torch.no_grad()
def enliven(detector: Detector) -> Detector:
    """Initialize weights so that the signal survives, and batch norms with the statistics of their input.

    All families use the same distributions. With scales below 1 and shifts around 1, a deep network amplifies
    rounding errors a few hundred times. Wider distributions amplify them a few thousand times, more than trained
    weights do.
    """
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 1.0, 1.0)
            module.momentum = 1.0  # only the last batch counts
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    for module in detector.head.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.normal_(module.weight, std=0.25 * module.weight[0].numel() ** -0.5)
    images = torch.from_numpy(synthetic_images(detector.input_spec.size, 2))
    detector.train()(to_network(images, detector.input_spec))
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.get_buffer("running_var").clamp_(
                min=0.1
            )  # else a channel that was constant dominates on another image
    return detector.eval()


@torch.no_grad()
def compare(detector: Detector, model: Path, images: ImageBatch) -> tuple[float, float]:
    """Return the largest differences of scores, and of boxes as a share of their larger side (at least 32 px)."""
    boxes, scores = detector.forward_decoded(to_network(torch.from_numpy(images), detector.input_spec))
    expected = boxes.numpy()
    actual_boxes, actual_scores = open_model(onnx.load(model)).run(None, {"images": images})
    sides = np.maximum((expected[..., 2:] - expected[..., :2]).max(axis=-1, keepdims=True), 32)
    return float(np.abs(actual_scores - scores.numpy()).max()), float((np.abs(actual_boxes - expected) / sides).max())


if __name__ == "__main__":
    tyro.cli(main)
