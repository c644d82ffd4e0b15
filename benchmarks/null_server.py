"""A server whose engine takes no CPU: `python -m benchmarks.null_server REPOSITORY [PROCESSES]`.

What is left is the service.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from model_zoo.contract.card import ModelCard
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import EngineOptions, Outputs
from model_zoo.runtime.choice import Choice
from service.deploy.processes import run_processes
from service.settings import Settings

DETECTIONS: Final = 10
CHOICE: Final = Choice("cpu")


@dataclass
class NullEngine:
    """Returns the same detections for every image."""

    card: ModelCard
    canvases: list[Size]
    workers: int = 2
    max_batch: int = 1
    device: str = "none"
    choice: Choice = CHOICE

    def __post_init__(self) -> None:
        """Make the detections."""
        random = np.random.default_rng(0)
        corners = random.uniform(0, 300, (DETECTIONS, 2))
        scores = np.sort(random.uniform(0.3, 0.9, (DETECTIONS, 1)), axis=0)[::-1]
        classes = random.integers(0, len(self.card.class_names), (DETECTIONS, 1))
        rows = np.concatenate([corners, corners + random.uniform(5, 200, (DETECTIONS, 2)), scores, classes], axis=1)
        self._outputs = (rows[None].astype(np.float32), np.array([DETECTIONS], np.int32))

    def run(self, feeds: Feeds) -> Outputs:
        """Return the detections."""
        assert len(feeds["images"]) == 1
        return self._outputs

    def warm_up(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def open_null_engine(package: Package, options: EngineOptions) -> NullEngine:
    """Return an engine for a package."""
    return NullEngine(package.card, options.canvases(package.card))


if __name__ == "__main__":
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    settings = Settings(repository=Path(sys.argv[1]), port=0, verify_on_load=False, processes=processes)
    run_processes(settings, open_null_engine)
