"""Measure fp16 and int8 exports: average precision, agreement with fp32, file size and time per image.

    python -m benchmarks.precision --weights yolov5n.pt --data coco

int8 is calibrated on the images of one split and evaluated on another. The smallest variant of every generation follows
with random weights, for size and time only. Files run on one CPU thread as in the service. Precisions of a variant
alternate. Writes benchmarks/results/precision.csv, one row after another, and precision.png.
"""

from __future__ import annotations

import csv
import json
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro

from benchmarks.every_family import megabytes
from model_zoo.contract import pipeline
from model_zoo.contract.detections import Detections
from model_zoo.contract.images import decode_image
from model_zoo.detector import Detector
from model_zoo.export.calibration import Calibration
from model_zoo.export.card import build_export_card
from model_zoo.export.write_model import write_model
from model_zoo.registry import build
from model_zoo.runtime.base import Engine, EngineOptions
from model_zoo.runtime.model_file import open_model_file
from model_zoo.runtime.open import open_engine
from model_zoo.weights.importers import load_checkpoint
from training.data.dataset import Dataset, Record
from training.data.open import open_dataset
from training.evaluate import coco
from training.evaluate.evaluation import EvaluationImages, evaluate

RESULTS = Path(__file__).parent / "results"
Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
SMALLEST = (
    *("yolov1-tiny", "yolov2-tiny-voc", "yolov3-tiny", "yolov4-tiny"),
    *("yolov5n", "yolox-nano", "yolov6n", "yolov7-tiny"),
)
RANDOM = "random"
ROUNDS = 20
TRUTH_SCORE = 0.25  # detections of the fp32 file above it serve as ground truth


@dataclass(frozen=True)
class Row:
    """Results of one file. Fields after the time are filled for trained weights only."""

    variant: str
    weights: str
    """File of trained weights, or `random`."""

    precision: str
    file_mb: float
    int8_layers: str
    """Convolutions in int8, out of those that can be quantized."""

    ms: float = math.nan
    """CPU time per image on one core."""

    time_vs_fp32: float = math.nan
    score_difference: float = math.nan
    """Mean over the best 100 predictions per image, from the export's parity check."""

    box_difference: float = math.nan
    """The same mean, of 1 - IoU."""

    ap: float = math.nan
    ap50: float = math.nan
    agreement: float = math.nan
    """AP with detections of the fp32 file as ground truth."""

    def cells(self) -> list[object]:
        """Return the values to write: measurements with three significant digits, missing ones empty."""
        values = ("" if isinstance(v, float) and math.isnan(v) else v for v in astuple(self))
        return [f"{value:.3g}" if isinstance(value, float) else value for value in values]


def main(
    weights: Path,
    data: Path,
    calibration: str = "coco128",
    split: str = "val2017",
    variants: tuple[str, ...] = SMALLEST,
) -> None:
    """Export, measure and write the results.

    Args:
        weights: Trained weights with COCO's classes.
        data: Dataset in a format that `lineage data` reads.
        calibration: Split with the calibration images of int8.
        split: Split to evaluate on.
        variants: Variants to export with random weights.
    """
    dataset = open_dataset(data)
    calibration_records, records = dataset.split(calibration).records, dataset.split(split).records
    rows: list[Row] = []
    with (RESULTS / "precision.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow([field.name for field in fields(Row)])
        torch.manual_seed(0)
        for name in (weights.name, *variants):
            trained = name == weights.name
            detector = load_checkpoint(weights).detector if trained else build(name)
            for row in measure(
                detector, name if trained else RANDOM, calibration_records, dataset, records if trained else ()
            ):
                rows.append(row)
                out.writerow(row.cells())
                print(*row.cells(), flush=True)
            file.flush()
    plot(rows)


def measure(
    detector: Detector, weights: str, calibration_records: Sequence[Record], dataset: Dataset, records: Sequence[Record]
) -> list[Row]:
    """Measure a detector in every precision, and its AP if there are records to evaluate it on."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {precision: Path(folder) / f"{precision}.onnx" for precision in PRECISIONS}
        rows = [exported(detector, weights, precision, path, calibration_records) for precision, path in paths.items()]
        options = EngineOptions(provider="cpu", workers=1)
        engines = [open_engine(open_model_file(path), options) for path in paths.values()]
    times = timed(engines, calibration_records[0])
    rows = [replace(row, ms=ms, time_vs_fp32=ms / times[0]) for row, ms in zip(rows, times, strict=True)]
    return with_precision(rows, engines, dataset, records) if records else rows


def exported(
    detector: Detector, weights: str, precision: Precision, path: Path, calibration_records: Sequence[Record]
) -> Row:
    """Export one precision, with calibration for int8."""
    card = build_export_card(detector, path.stem, precision=precision)
    canvases = (
        pipeline.preprocess(card, decode_image(record.path.read_bytes())).pixels[None] for record in calibration_records
    )
    report = write_model(detector, card, path, calibration=Calibration(list(canvases)) if precision == "int8" else None)
    row, measured = Row(detector.variant, weights, precision, megabytes(path), layers(path)), report.file
    return row if weights == RANDOM else replace(row, score_difference=measured.score, box_difference=measured.box)


def layers(path: Path) -> str:
    """Return how many of the quantizable convolutions are in int8."""
    report = path.with_suffix(".quantization.json")
    if not report.is_file():
        return ""
    chosen = [layer["precision"] == "int8" for layer in json.loads(report.read_text())["layers"]]
    return f"{sum(chosen)} of {len(chosen)}"


def timed(engines: Sequence[Engine], record: Record) -> list[float]:
    """Return the median CPU milliseconds of each engine for one image, measured in turns."""
    times: list[list[float]] = [[] for _ in engines]
    image = decode_image(record.path.read_bytes())
    for _ in range(ROUNDS):
        for engine, own in zip(engines, times, strict=True):
            card = engine.card
            feeds = pipeline.collate([pipeline.preprocess(card, image)], [pipeline.make_query(card)])
            start = time.thread_time()
            engine.run(feeds)
            own.append((time.thread_time() - start) * 1000)
    return [statistics.median(own) for own in times]


def with_precision(
    rows: Sequence[Row], engines: Sequence[Engine], dataset: Dataset, records: Sequence[Record]
) -> list[Row]:
    """Add the average precision of each file on the records, and its agreement with the fp32 file."""
    evaluations = [
        evaluate(engine.card, engine.run, dataset, EvaluationImages(records, engine.card, batch=1))
        for engine in engines
    ]
    truth = [as_truth(record, fp32) for record, fp32 in zip(records, evaluations[0].detections, strict=True)]
    return [
        replace(
            row,
            ap=evaluation.metrics.ap,
            ap50=evaluation.metrics.ap50,
            agreement=coco.score(dataset, truth, evaluation.detections).metrics.ap,
        )
        for row, evaluation in zip(rows, evaluations, strict=True)
    ]


def as_truth(record: Record, detections: Detections) -> Record:
    """Return the record with confident detections as its ground truth."""
    confident = detections.scores > TRUTH_SCORE
    boxes = detections.boxes[confident]
    areas = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).astype(np.float32)
    return replace(
        record, boxes=boxes, class_ids=detections.class_ids[confident], crowd=np.zeros(len(boxes), bool), areas=areas
    )


def plot(rows: Sequence[Row]) -> None:
    """Draw AP against time for the trained weights, and time and size of every variant."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    trained = [row for row in rows if not math.isnan(row.ap)]
    axes[0].bar([row.precision for row in trained], [row.ap for row in trained], color="#3b6ea5")
    axes[0].set(title=f"{trained[0].variant}, official weights", ylabel="AP")
    for axis, name, title in ((axes[1], "time_vs_fp32", "time / fp32"), (axes[2], "file_mb", "file size / fp32")):
        for offset, precision, color in ((-0.2, "fp16", "#9db8d2"), (0.2, "int8", "#3b6ea5")):
            chosen = [row for row in rows if row.weights == RANDOM and row.precision == precision]
            fp32 = [row.file_mb for row in rows if row.weights == RANDOM and row.precision == "fp32"]
            values = [getattr(r, name) / (mb if name == "file_mb" else 1) for r, mb in zip(chosen, fp32, strict=True)]
            axis.barh(np.arange(len(chosen)) + offset, values, 0.4, label=precision, color=color)
            axis.set(yticks=range(len(chosen)), yticklabels=[row.variant for row in chosen], xlabel=title)
        axis.axvline(1, color="black", linewidth=0.8)
        axis.legend()
    figure.savefig(RESULTS / "precision.png", dpi=120)


if __name__ == "__main__":
    tyro.cli(main)
