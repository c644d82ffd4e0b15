"""Weights of YOLOv7 under the keys of its original program."""

from __future__ import annotations

import re

import torch

from model_zoo.detector import Detector
from model_zoo.weights.importers.yolov7 import original_layers

BLOCKS = (
    (r"(model\.\d+)\.conv([1-7])\.", r"\1.cv\2."),
    (r"dense\.conv\.", "rbr_dense.0."),
    (r"dense\.bn\.", "rbr_dense.1."),
    (r"pointwise\.conv\.", "rbr_1x1.0."),
    (r"pointwise\.bn\.", "rbr_1x1.1."),
)


def original_state(detector: Detector) -> dict[str, torch.Tensor]:
    """Return weights under the original keys, with anchors in cells and again in pixels."""
    layers = original_layers(detector)
    head = f"model.{len(layers)}"
    prefixes = {f"{layer}.": f"model.{i}." for i, layer in enumerate(layers) if layer}
    state = {}
    for key, value in detector.state_dict().items():
        name = re.sub(r"^head\.predict\.(\d)\.add$", rf"{head}.ia.\1.implicit", key)
        name = re.sub(r"^head\.predict\.(\d)\.multiply$", rf"{head}.im.\1.implicit", name)
        name = re.sub(r"^head\.predict\.", f"{head}.m.", name)
        name = re.sub(r"^head\.auxiliary\.(\d)\.1\.", rf"{head}.m2.\1.", name)
        name = next((new + name.removeprefix(old) for old, new in prefixes.items() if name.startswith(old)), name)
        for pattern, replacement in BLOCKS:
            name = re.sub(pattern, replacement, name)
        state[name.replace("head.anchors", f"{head}.anchors")] = value
    strides = torch.tensor(detector.head.strides)
    state[f"{head}.anchors"] = detector.head.anchors / strides[:, None, None]
    state[f"{head}.anchor_grid"] = detector.head.anchors.view(len(strides), 1, -1, 1, 1, 2)
    return state
