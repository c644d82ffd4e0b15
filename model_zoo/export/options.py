"""Options of an export. Imports no torch, so that `lineage export --help` answers at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from model_zoo.contract.image_size import parse_size
from model_zoo.export.errors import ExportError

BLOCK: Final = 64  # candidates that one step of NMS compares
SHORTLIST: Final = 256  # candidates that suffice for most images
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
    shapes: Literal["auto", "square", "buckets"] = "auto"
    """Canvases recorded in the model card. buckets: smaller ones for wide and tall images, square: one for all images.
    auto: as the original program."""
    candidates: int = MAX_CANDIDATES
    """Max predictions per image that enter NMS, a multiple of 64."""
    calibration: Path | None = None
    """Folder of images for --precision int8, similar to those the model will see. Some hundred are enough."""
    calibration_images: int = MAX_CALIBRATION_IMAGES
    """Max images read from the calibration folder, evenly spread over their sorted names."""
    min_sqnr: float = MIN_SQNR_DB
    """Layers whose int8 output has a lower signal-to-quantization-noise ratio, in dB, stay in float32."""
    golden: Path | None = None
    """Folder of images for the golden images of the package, which the server checks. If omitted, synthetic ones."""


DEFAULT_EXPORT: Final = ExportOptions()


def check_candidates(candidates: int) -> None:
    """Check the number of candidates.

    Raises:
        ExportError: It is no multiple of BLOCK, or out of range.
    """
    if candidates < 1 or candidates % BLOCK or candidates > MAX_CANDIDATES:
        raise ExportError(f"candidates: expected a multiple of {BLOCK} up to {MAX_CANDIDATES}; got {candidates}")


def check_export_options(options: ExportOptions) -> None:
    """Check all that can be checked without the network.

    Raises:
        ExportError: An option is out of range, or --precision int8 and --calibration are not given together.
    """
    parse_size(options.image_size)
    check_candidates(options.candidates)
    folder = options.calibration
    if (options.precision == "int8") != (folder is not None):
        given = "no --calibration" if folder is None else f"--calibration {folder}"
        raise ExportError(
            "expected --precision int8 and --calibration FOLDER together, with a folder of images similar to those "
            f"the model will see; got --precision {options.precision} and {given}"
        )
    if folder is not None and not Path(folder).is_dir():
        raise ExportError(f"--calibration: expected a folder of images; {folder} is not a folder")
    check_golden_folder(options.golden)
    if options.calibration_images < 1:
        raise ExportError(f"--calibration-images: expected at least 1; got {options.calibration_images}")
    if not math.isfinite(options.min_sqnr):
        raise ExportError(f"--min-sqnr: expected a number of dB; got {options.min_sqnr}")


def check_golden_folder(folder: Path | None) -> None:
    """Check that the folder of golden images exists.

    Raises:
        ExportError: It does not.
    """
    if folder is not None and not Path(folder).is_dir():
        raise ExportError(f"--golden: expected a folder of images; {folder} is not a folder")
