"""The whole way from a detector to a model file: describe it, trace it, prove it, write it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from model_zoo.contract.card import ModelCard, Output, Precision, Thresholds, WeightsOrigin
from model_zoo.detector import Detector
from model_zoo.export.onnx import MOST_CANDIDATES, assemble, trace, write
from model_zoo.export.parity import Report, verify
from model_zoo.profile import profile

TOOLS = ("yolo-lineage", "torch", "onnx", "onnxscript")
Progress = Callable[[str], None]


def describe(
    detector: Detector,
    name: str,
    *,
    output: Output = "detections",
    precision: Precision = "fp32",
    candidates: int = MOST_CANDIDATES,
    weights: WeightsOrigin | None = None,
) -> ModelCard:
    """Make the card of a file that is to be exported; size and work are those of the deployed form."""
    spec, counted = detector.input_spec, profile(detector.deploy())
    return ModelCard(
        name=name,
        family=detector.family,
        variant=detector.variant,
        class_names=detector.class_names,
        input_size=spec.size,
        stride=detector.stride,
        dynamic_size=spec.dynamic,
        letterbox=spec.letterbox,
        thresholds=Thresholds(multi_label_below=detector.head.multi_label_below),
        output=output,
        candidates=candidates,
        precision=precision,
        params=counted.params,
        gflops=round(counted.gflops, 2),
        weights=weights or WeightsOrigin(),
        tools={tool: _version(tool) for tool in TOOLS},
    )


def write_model(detector: Detector, card: ModelCard, path: Path, progress: Progress = lambda _: None) -> Report:
    """Write the ONNX file that `card` describes of a detector; ExportError, and no file, where it disagrees with it."""
    progress("deploying and tracing the network")
    deployed = detector.deploy()
    traced = trace(deployed, card)
    raw, end_to_end = (assemble(traced, replace(card, output=form)) for form in ("raw", "detections"))
    progress("comparing the graph with the model")
    report = verify(detector, deployed, raw, end_to_end)
    write(raw if card.output == "raw" else end_to_end, path)
    return report


def _version(tool: str) -> str:
    try:
        return importlib.metadata.version(tool)
    except importlib.metadata.PackageNotFoundError:  # the project itself, run from a checkout
        return "unknown"
