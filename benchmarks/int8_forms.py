"""Measure an int8 export in each form that a runtime may compute: its AP, and its agreement with fp32.

    python -m benchmarks.int8_forms --weights yolov5n.pt --data coco_mini --calibration coco128 --split val2017
    python -m benchmarks.int8_forms --weights best.safetensors --data bccd --calibration train --split val

`exact` is the arithmetic that the graph defines, without the kernels of the CPU. `signed` and `unsigned` are the two
forms of activations in ONNX Runtime. `openvino` runs unsigned ones. Appends to benchmarks/results/int8_forms.csv.
Preload tests/cpu/hide_features.c to measure AVX2 kernels on a CPU with VNNI, and name them with --kernels.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort
import torch
import tyro

from benchmarks.precision import as_truth, exported
from model_zoo.contract.card import ModelCard, Precision
from model_zoo.contract.files import file_sha256
from model_zoo.contract.letterbox import Size
from model_zoo.contract.pipeline import Feeds, Run
from model_zoo.export.sessions import open_model, open_reference
from model_zoo.runtime import openvino
from model_zoo.runtime.base import Compute, Outputs
from model_zoo.runtime.int8 import to_uint8_activations
from model_zoo.runtime.sessions import read_card
from model_zoo.weights.importers import load_checkpoint
from training.data.dataset import Dataset, Record
from training.data.open import open_dataset
from training.evaluate import coco
from training.evaluate.evaluation import EvaluationImages, evaluate

RESULTS = Path(__file__).parent / "results" / "int8_forms.csv"
COLUMNS = ("variant", "kernels", "form", "int8_layers", "ap", "ap50", "agreement", "sha256")
MAX_CALIBRATION_IMAGES = 24


def main(weights: Path, data: Path, calibration: str, split: str, kernels: str) -> None:
    """Export the weights in fp32 and int8, evaluate every form, and append the rows.

    Args:
        weights: Trained weights.
        data: Dataset in a format that `lineage data` reads.
        calibration: Split with the calibration images.
        split: Split to evaluate on.
        kernels: Name of the instructions that ONNX Runtime's kernels use, such as avx2 or amx.
    """
    dataset, detector = open_dataset(data), load_checkpoint(weights).detector
    records = dataset.split(calibration).records[:MAX_CALIBRATION_IMAGES]
    with tempfile.TemporaryDirectory() as folder:
        fp32, int8 = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        exported(detector, weights.name, "fp32", fp32, records)
        layers = exported(detector, weights.name, "int8", int8, records).int8_layers
        signed, digest, card = int8.read_bytes(), file_sha256(int8), read_card(int8)
        forms = {
            "fp32": run_of(open_model(fp32.read_bytes())),
            "exact": run_of(open_reference(signed)),
            "signed": run_of(open_model(signed)),
            "unsigned": run_of(open_model(to_uint8_activations(signed))),
            "openvino": open_openvino(int8, card.input_size, precision="int8"),
        }
    is_new = not RESULTS.is_file()
    with RESULTS.open("a", newline="") as file:
        out = csv.writer(file)
        if is_new:
            out.writerow(COLUMNS)
        for form, values in measure(forms, card, dataset, dataset.split(split).records).items():
            cells = ("", "") if form == "fp32" else (layers, digest[:16])
            out.writerow([detector.variant, kernels, form, cells[0], *(f"{value:.4f}" for value in values), cells[1]])


def measure(
    forms: Mapping[str, Run], card: ModelCard, dataset: Dataset, records: tuple[Record, ...]
) -> dict[str, tuple[float, float, float]]:
    """Return AP, AP50 and agreement of each form. The first form is the one to agree with."""
    results: dict[str, tuple[float, float, float]] = {}
    truth: list[Record] = []
    for form, run in forms.items():
        evaluation = evaluate(card, run, dataset, EvaluationImages(records, card, batch=1, canvases=[card.input_size]))
        truth = truth or [as_truth(r, found) for r, found in zip(records, evaluation.detections, strict=True)]
        agreement = coco.score(dataset, truth, evaluation.detections).metrics.ap
        results[form] = (evaluation.metrics.ap, evaluation.metrics.ap50, agreement)
        print(form, *(f"{value:.4f}" for value in results[form]), flush=True)
    return results


def run_of(session: ort.InferenceSession) -> Run:
    """Return the function that runs feeds through a session."""

    def run(feeds: Feeds) -> Outputs:
        rows, counts = session.run(["detections", "count"], dict(feeds))
        return rows, counts

    return run


def open_openvino(model: Path, size: Size, *, precision: Precision = "fp32", compute: Compute = "fp32") -> Run:
    """Return the function that runs feeds of one canvas through OpenVINO."""
    compiled = openvino.compile_model(openvino.read_model(model, precision=precision), size=size, compute=compute)
    return openvino.Network(compiled).run


if __name__ == "__main__":
    torch.set_num_threads(1)
    tyro.cli(main)
