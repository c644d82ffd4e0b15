"""Read calibration images for int8 quantization."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import ImageError
from model_zoo.contract.images import ImageLimits, decode_image
from model_zoo.contract.pipeline import preprocess
from model_zoo.export.errors import ExportError
from model_zoo.export.options import MAX_CALIBRATION_IMAGES, MIN_SQNR_DB
from model_zoo.export.synthetic_images import ImageBatch

LIMITS = ImageLimits()


@dataclass(frozen=True)
class Calibration:
    """Images and noise limit of an int8 quantization."""

    images: Sequence[ImageBatch]
    """Images, each uint8 (1, H, W, 3) RGB."""
    min_sqnr_db: float = MIN_SQNR_DB
    """Layers with a lower signal-to-quantization-noise ratio, in dB, stay float32."""


def read_calibration_images(
    folder: str | Path, card: ModelCard, limit: int = MAX_CALIBRATION_IMAGES
) -> list[ImageBatch]:
    """Read up to `limit` images of a folder, evenly spread over the sorted names, and preprocess them as for serving.

    Returns:
        Images, each uint8 (1, H, W, 3) RGB at the card's input size. Unreadable files are skipped.

    Raises:
        ExportError: The folder does not exist or has no readable images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ExportError(f"calibration: expected a folder of images; {folder} is not a folder")
    if limit < 1:
        raise ExportError(f"calibration: expected a limit of at least one image; got {limit}")
    files = sorted(path for path in folder.iterdir() if _has_image_suffix(path))
    chosen = [files[i * len(files) // limit] for i in range(limit)] if len(files) > limit else files
    images = [image for image in map(_read, chosen) if image is not None]
    if not images:
        raise ExportError(
            f"calibration: expected images directly in {folder}; none of its {len(files)} image files can be read. Use "
            "some hundred images similar to those the model will see"
        )
    return [preprocess(card, image).pixels[None] for image in images]


def _has_image_suffix(path: Path) -> bool:
    return (mimetypes.guess_type(path.name)[0] or "").startswith("image/") and path.is_file()


def _read(path: Path) -> NDArray[np.uint8] | None:
    try:
        with path.open("rb") as file:
            return decode_image(file.read(LIMITS.max_bytes + 1))
    except (ImageError, OSError):
        return None
