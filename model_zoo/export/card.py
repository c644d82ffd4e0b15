"""Build the model card of a detector."""

from __future__ import annotations

from dataclasses import replace

from model_zoo.contract.card import ModelCard, Output, Precision, Thresholds, WeightsOrigin
from model_zoo.contract.versions import installed_version
from model_zoo.detector import Detector
from model_zoo.export.options import MAX_CANDIDATES
from model_zoo.profile import profile

TOOLS = ("yolo-lineage", "torch", "onnx", "onnxscript")


def build_card(
    detector: Detector,
    name: str = "model",
    *,
    output: Output = "detections",
    precision: Precision = "fp32",
    candidates: int = MAX_CANDIDATES,
    weights: WeightsOrigin | None = None,
) -> ModelCard:
    """Return the card that is needed to run a detector, without its cost and the tools that export it."""
    spec = detector.input_spec
    return ModelCard(
        name=name,
        family=detector.family,
        variant=detector.variant,
        class_names=detector.class_names,
        input_size=spec.size,
        stride=detector.stride,
        dynamic_size=spec.dynamic,
        shapes=spec.shapes,
        letterbox=spec.letterbox,
        thresholds=Thresholds(multi_label_below=detector.head.multi_label_below),
        output=output,
        candidates=candidates,
        precision=precision,
        weights=weights or detector.weights,
    )


def build_export_card(
    detector: Detector,
    name: str,
    *,
    output: Output = "detections",
    precision: Precision = "fp32",
    candidates: int = MAX_CANDIDATES,
    weights: WeightsOrigin | None = None,
) -> ModelCard:
    """Return the full card for an export: also parameters and GFLOPs of the deployed form, and tool versions."""
    card = build_card(detector, name, output=output, precision=precision, candidates=candidates, weights=weights)
    cost = profile(detector.deploy())
    tools = {tool: installed_version(tool) or "unknown" for tool in TOOLS}
    return replace(card, params=cost.params, gflops=round(cost.gflops, 2), tools=tools)
