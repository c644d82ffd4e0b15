"""A small split of images on disk."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.data.loading.records import make_record
from training.data.dataset import Split


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Ten images of different sizes, some without objects."""
    records = []
    for seed in range(10):
        height, width = np.random.default_rng(seed).integers(30, 200, 2).tolist()
        image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        path = tmp_path / f"{seed}.png"
        cv2.imwrite(str(path), image)
        records.append(make_record(path, (height, width), seed % 4, seed))
    return Split("train", tuple(records), "")
