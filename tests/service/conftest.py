"""Model repositories for tests of the service."""

from __future__ import annotations

import numpy as np

from service.inference.bundled import BUNDLED_REPOSITORY
from tests.repositories import Publish, publish, repository, toy

__all__ = ["SAMPLES", "Publish", "flat", "publish", "repository", "toy"]

SAMPLES = BUNDLED_REPOSITORY.root.parent / "web" / "static" / "playground" / "samples"


def flat(red: int, green: int = 0, blue: int = 0, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """An image of one color."""
    return np.full((*size, 3), (red, green, blue), dtype=np.uint8)
