"""Options and result of an ONNX import. Imports no onnx, so that `lineage import --help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from model_zoo.contract.card import ModelCard
from model_zoo.export.options import MAX_CANDIDATES

Layout = Literal[
    "v8", "v5", "yolox", "yolox-raw", "end-to-end", "detr", "boxes-scores", "boxes-scores-labels"
]  # docs/importing.md describes them
Color = Literal["rgb", "bgr"]
Scaling = Literal["unit", "none", "imagenet"]
Placement = Literal["center", "top_left", "stretch"]


@dataclass(frozen=True)
class OnnxOptions:
    """Facts about an ONNX file of another program that the file does not state."""

    layout: Layout | None = None
    """ONNX files only: layout of the outputs. If omitted, it is recognized from the shapes and a probe."""
    color: Color | None = None
    """ONNX files only: color order of the input. If omitted, bgr for YOLOX and rgb otherwise."""
    scaling: Scaling | None = None
    """ONNX files only: unit divides pixels by 255, none keeps 0 to 255, imagenet also normalizes by ImageNet's mean.
    If omitted, none for YOLOX and uint8 inputs, and unit otherwise."""
    letterbox: Placement | None = None
    """ONNX files only: placement of images on the canvas. If omitted, top_left for YOLOX, stretch for DETR-like files
    and center otherwise."""


DEFAULT_ONNX: Final = OnnxOptions()


@dataclass(frozen=True)
class Request:
    """All options of one import."""

    name: str
    """Name in the repository."""
    onnx: OnnxOptions = DEFAULT_ONNX
    """Facts about the file."""
    image_size: tuple[int, ...] = ()
    """Input size in pixels, as of --image-size."""
    candidates: int = MAX_CANDIDATES
    """Max predictions per image that enter NMS."""
    names: Path | None = None
    """File with class names."""
    license: str | None = None
    """License of the weights (SPDX)."""
    golden: Path | None = None
    """Folder of images for the golden images of the package."""
    shapes: Literal["auto", "square", "buckets"] = "auto"
    """Canvases, as of --shapes."""


@dataclass(frozen=True)
class Converted:
    """Result of a conversion."""

    card: ModelCard
    """Card of the package."""
    notes: tuple[str, ...]
    """Recognized, assumed and proven facts, a line each."""
    files: dict[str, Path] = field(default_factory=dict)
    """Files of the package by name, none if the file was only recognized."""
