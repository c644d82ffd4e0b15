"""An engine without a model file, whose detections show the pixels and thresholds it received."""

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
from model_zoo.runtime.choice import Choice

POISON = 13  # a run fails if the first pixel of an image has this red value


def _open_gate() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


@dataclass
class FakeEngine:
    """Returns one detection per image: its corner is red and green of the first pixel, its score the threshold.

    Clear `gate` to block every run until it is set. `started` counts the runs. `batches` lists the sizes of those that
    passed the gate.
    """

    card: ModelCard
    workers: int = 1
    max_batch: int = 1
    device: str = "fake"
    gate: threading.Event = field(default_factory=_open_gate)
    started: int = 0
    batches: list[int] = field(default_factory=list)
    warm_ups: int = 0
    closed: bool = False
    choice: Choice = field(default_factory=lambda: Choice("cpu"))

    @property
    def canvases(self) -> Sequence[Size]:
        """The card's own size."""
        return [self.card.input_size]

    def run(self, feeds: Feeds) -> Outputs:
        """Run one batch."""
        self.started += 1
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
        """Count the call."""
        self.warm_ups += 1

    def close(self) -> None:
        """Record the call."""
        self.closed = True


class GatedEngines:
    """Opens fake engines that share one closed gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.engine: FakeEngine | None = None

    def __call__(self, package: Package, options: EngineOptions) -> FakeEngine:
        self.engine = open_fake_engine(package, options)
        self.engine.gate = self.gate
        return self.engine

    @property
    def started(self) -> int:
        return self.engine.started if self.engine else 0

    @property
    def batches(self) -> list[int]:
        return self.engine.batches if self.engine else []


def open_fake_engine(package: Package, options: EngineOptions) -> FakeEngine:
    """Return an engine for a package, whatever its model file contains."""
    return FakeEngine(package.card, options.workers or 1, options.max_batch or 1)
