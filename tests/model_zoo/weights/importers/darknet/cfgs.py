"""Parts of cfgs, and builders of their detectors."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.weights.importers import from_cfg

NET = "[net]\nwidth = 64\nheight = 96\nchannels = 3\nbatch = 64\nsubdivisions = 8\nbatch = 1\n"
CONV = "[convolutional]\nfilters={}\nsize=1\nactivation={}\n"
YOLO = "[yolo]\nmask=0\nanchors=10,14\nclasses=2\n"
END = CONV.format(7, "linear") + YOLO


def detector_of(tmp_path: Path, layers: str, net: str = NET) -> Detector:
    (tmp_path / "x.cfg").write_text(net + layers)
    return from_cfg(tmp_path / "x.cfg")


def maps_of(tmp_path: Path, layers: str, images: Tensor) -> Tensor:
    """Return the output of the layers, from a detector that contains them."""
    detector = detector_of(tmp_path, layers + CONV.format(7, "linear") + YOLO)
    seen: list[Tensor] = []
    detector.backbone.layers[-3].register_forward_hook(lambda *arguments: seen.append(arguments[2]))
    with torch.inference_mode():
        detector(images)
    return seen[0]
