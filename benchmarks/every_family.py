"""Export full-size models of every generation, compare them with torch on a photo, and build their plans.

    python -m benchmarks.every_family --photo photo.jpg

Of each variant: the fp32 file, whose predictions on the photo are held to those of the network in torch, and a plan of
the fp16 file with NMS inside, built ahead of time by TensorRT-RTX, which needs no GPU and runs nothing. Weights are
random but the network is alive: batch norms have the statistics of what passes through them, as in a trained one, so
that predictions depend on the photo. Writes benchmarks/results/exports.csv, a row as soon as it is known.
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
from model_zoo.export.model_file import write_model
from model_zoo.export.parity import TOLERANCES, Pictures, pictures, session
from model_zoo.export.tensorrt import PlanOptions, build_plan
from model_zoo.registry import build

RESULTS = Path(__file__).parent / "results" / "exports.csv"
VARIANTS = (
    *("yolov1-paper", "yolov1", "yolov2", "yolov3", "yolov4", "yolov4-csp"),
    *("yolov5s", "yolov5l", "yolov5s6", "yolox-s", "yolox-l"),
    *("yolov6s", "yolov6m", "yolov6s-v3", "yolov6m-v3", "yolov6n6-v3", "yolov7", "yolov7-w6"),
)


@dataclass(frozen=True)
class Row:
    """One variant. Differences on the photo are of scores, and of boxes as a share of their larger side.

    export_s and build_s: seconds of one CPU. peak_gb: memory that all of it took at the most.
    """

    variant: str
    height: int
    width: int
    params: int
    gflops: float
    file_mb: float = math.nan
    export_s: float = math.nan
    score_difference: float = math.nan
    box_difference: float = math.nan
    fp16_file_mb: float = math.nan
    plan_mb: float = math.nan
    build_s: float = math.nan
    peak_gb: float = math.nan
    outcome: str = "ok"

    def cells(self) -> list[object]:
        """Return the values as they are written, four digits of what was measured."""
        return [*astuple(self)[:5], *(f"{value:.4g}" for value in astuple(self)[5:-1]), self.outcome]


def main(photo: Path, variants: tuple[str, ...] = VARIANTS, compute_capability: str = "8.9") -> None:
    """Export, compare, build and write the results.

    Args:
        photo: The photo to compare on.
        variants: What to export.
        compute_capability: Of the GPU that plans are built for.
    """
    names = [field.name for field in fields(Row)]
    spawn = multiprocessing.get_context("spawn")  # a process for each variant: none pays for the memory of another
    with (
        RESULTS.open("w", newline="") as file,
        ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes,
    ):
        out = csv.writer(file)
        out.writerow(names)
        for row in processes.map(measure, variants, repeat(photo), repeat(compute_capability)):
            out.writerow(row.cells())
            file.flush()
            print(*row.cells(), flush=True)


def measure(variant: str, photo: Path, compute_capability: str) -> Row:
    """Take one variant the whole way, or as far as it comes."""
    torch.manual_seed(0)
    detector = enliven(build(variant))
    card = build_export_card(detector, variant, output="raw")
    row = Row(variant, *card.input_size, card.params, card.gflops)
    with tempfile.TemporaryDirectory() as folder:
        try:
            row = exported(row, detector, card, photo, Path(folder) / "whole.onnx")
            half = replace(card, output="detections", precision="fp16")
            row = built(row, detector, half, compute_capability, Path(folder) / "half.onnx")
        except LineageError as error:
            row = replace(row, outcome=str(error))
    return replace(row, peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)  # Linux counts in kB


def exported(row: Row, detector: Detector, card: ModelCard, photo: Path, path: Path) -> Row:
    """Write the fp32 file and compare it on the photo; LineageError if it is not within the tolerance."""
    begin = time.process_time()
    write_model(detector, card, path)
    seconds = time.process_time() - begin
    score, box = compare(detector, path, preprocess(card, decode_image(photo.read_bytes())).pixels[None])
    allowed = TOLERANCES["fp32"]
    within = score <= allowed.score and box <= allowed.box
    return replace(
        row,
        file_mb=megabytes(path),
        export_s=seconds,
        score_difference=score,
        box_difference=box,
        outcome="ok" if within else "differs on the photo",
    )


def built(row: Row, detector: Detector, card: ModelCard, compute_capability: str, path: Path) -> Row:
    """Write the fp16 file with NMS inside and build its plan; LineageError if there is none."""
    write_model(detector, card, path)
    begin = time.process_time()
    plan = build_plan(path, card, PlanOptions(compute_capabilities=(compute_capability,)))
    seconds = time.process_time() - begin
    return replace(row, fp16_file_mb=megabytes(path), plan_mb=len(plan) / 1e6, build_s=seconds)


def megabytes(path: Path) -> float:
    """Size of a file."""
    return path.stat().st_size / 1e6


@torch.no_grad()
def enliven(detector: Detector) -> Detector:
    """Draw weights that keep a signal alive, and give batch norms the statistics of what passes through them.

    Drawn alike for every family. With scales below 1 and shifts around 1 a deep network multiplies its rounding errors
    by some hundred; wider ones make it some thousand, as in no trained network.
    """
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 1.0, 1.0)
            module.momentum = 1.0  # the last batch alone
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    for module in detector.head.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.normal_(module.weight, std=0.25 * module.weight[0].numel() ** -0.5)
    drawn = torch.from_numpy(pictures(detector.input_spec.size, 2))
    detector.train()(to_network(drawn, detector.input_spec))
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.clamp_(min=0.1)  # a channel that was silent would shout at another picture
    return detector.eval()


@torch.no_grad()
def compare(detector: Detector, model: Path, images: Pictures) -> tuple[float, float]:
    """Return the largest differences of scores, and of boxes as a share of their larger side (at least 32 px)."""
    boxes, scores = detector.forward_decoded(to_network(torch.from_numpy(images), detector.input_spec))
    expected = boxes.numpy()
    came_boxes, came_scores = session(onnx.load(model)).run(None, {"images": images})
    sides = np.maximum((expected[..., 2:] - expected[..., :2]).max(axis=-1, keepdims=True), 32)
    return float(np.abs(came_scores - scores.numpy()).max()), float((np.abs(came_boxes - expected) / sides).max())


if __name__ == "__main__":
    tyro.cli(main)
