"""An engine for tests: no model file, detections that tell the pixels and thresholds it was given."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from model_zoo.contract.card import ModelCard
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import EngineOptions, Outputs

POISON = 13  # an image whose first pixel has this red value makes the run fail


def _open_gate() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


@dataclass
class FakeEngine:
    """Finds one object per image: its corner is red, green of the first pixel, its score the threshold asked for.

    Clear `gate` to hold every run until it is set. `begun` counts the runs, `batches` lists the sizes of those that
    passed the gate, `closed` tells the end.
    """

    card: ModelCard
    workers: int = 1
    max_batch: int = 1
    device: str = "fake"
    gate: threading.Event = field(default_factory=_open_gate)
    begun: int = 0
    batches: list[int] = field(default_factory=list)
    closed: bool = False

    @property
    def canvases(self) -> Sequence[Size]:
        """The card's own size."""
        return [self.card.input_size]

    def run(self, feeds: Feeds) -> Outputs:
        """Run one batch."""
        self.begun += 1
        self.gate.wait()
        first = feeds["images"][:, 0, 0].astype(np.float32)
        self.batches.append(len(first))
        if (first[:, 0] == POISON).any():
            raise RuntimeError("poisoned image in the batch")
        far = first.max(axis=1, keepdims=True) + 1
        scores = feeds["score_threshold"][:, None]
        rows = np.concatenate([first[:, :2], far, far, scores, np.zeros_like(far)], axis=1, dtype=np.float32)
        return rows[:, None], np.ones(len(rows), dtype=np.int32)

    def warm_up(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Remember it."""
        self.closed = True


def load(package: Package, options: EngineOptions) -> FakeEngine:
    """Make an engine for a package, whatever its model file holds."""
    return FakeEngine(package.card, options.workers or 1, options.max_batch or 1)
