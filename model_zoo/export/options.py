"""Options of an export. Imports no torch, so that `lineage export --help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

MAX_CANDIDATES: Final = 3840  # limit of TensorRT's TopK
MAX_CALIBRATION_IMAGES: Final = 128
MIN_SQNR_DB: Final = 25.0
ExportPrecision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class ExportOptions:
    """Input size, precision and candidate limit of an exported model file."""

    image_size: tuple[int, ...] = ()
    """Input size in pixels: one number for a square, or height and width. If omitted, the network's own."""
    precision: ExportPrecision = "fp32"
    """Precision of the network inside the file. int8 needs --calibration."""
    candidates: int = MAX_CANDIDATES
    """Max predictions per image that enter NMS, a multiple of 128."""
    calibration: Path | None = None
    """Folder of images for --precision int8, similar to those the model will see. Some hundred are enough."""
    calibration_images: int = MAX_CALIBRATION_IMAGES
    """Max images read from the calibration folder, evenly spread over their sorted names."""
    min_sqnr: float = MIN_SQNR_DB
    """Layers whose int8 output has a lower signal-to-quantization-noise ratio, in dB, stay in float32."""


DEFAULT_EXPORT: Final = ExportOptions()
