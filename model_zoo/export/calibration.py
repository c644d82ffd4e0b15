"""Pictures that show a network what it will be served, so that the ranges of its numbers can be measured."""

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

LIMITS = ImageLimits()


@dataclass(frozen=True)
class Calibration:
    """What int8 is measured on: pictures uint8 (1, H, W, 3) RGB, and the ratio below which a layer stays float32.

    The ratio is that of signal to rounding noise, in decibels, of a layer's output where it alone is on int8.
    """

    pictures: Sequence[NDArray[np.uint8]]
    min_sqnr_db: float = MIN_SQNR_DB


def read_pictures(folder: Path, card: ModelCard, most: int = MAX_CALIBRATION_IMAGES) -> list[NDArray[np.uint8]]:
    """Read up to `most` pictures of a folder, evenly spread over its sorted names, laid on the canvas as when served.

    Each is uint8 (1, H, W, 3) RGB of the card's input size. Files that are no readable pictures are passed over;
    ExportError where there is no folder, or no picture in it.
    """
    if not folder.is_dir():
        raise ExportError(f"calibration: expected a folder of pictures; there is none at {folder}")
    if most < 1:
        raise ExportError(f"calibration: expected at least one picture; asked for {most}")
    files = sorted(path for path in folder.iterdir() if _is_named_as_picture(path))
    chosen = [files[i * len(files) // most] for i in range(most)] if len(files) > most else files
    images = [image for image in map(_read, chosen) if image is not None]
    if not images:
        raise ExportError(
            f"calibration: expected pictures directly in {folder}; none of its {len(files)} files named as such can be "
            "read; give a folder of some hundred photos such as the model will see"
        )
    return [preprocess(card, image).pixels[None] for image in images]


def _is_named_as_picture(path: Path) -> bool:
    return (mimetypes.guess_type(path.name)[0] or "").startswith("image/") and path.is_file()


def _read(path: Path) -> NDArray[np.uint8] | None:
    try:
        with path.open("rb") as file:
            return decode_image(file.read(LIMITS.max_bytes + 1))
    except (ImageError, OSError):
        return None
