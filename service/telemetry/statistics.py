"""Counters of inferences by model and version, with the times of their stages.

A request takes the time of its slowest image. Its input is decoding and letterboxing, its output postprocessing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple


class Times(NamedTuple):
    """Seconds of the stages of one image."""

    queue: float
    """Wait for the engine."""
    input: float
    """Decoding and letterboxing."""
    infer: float
    """Run of the engine."""
    output: float
    """Postprocessing."""


@dataclass
class Duration:
    """Number and total time of a kind of event."""

    count: int = 0
    """Number of events."""
    seconds: float = 0.0
    """Their total seconds."""

    def add(self, seconds: float) -> None:
        """Count an event."""
        self.count += 1
        self.seconds += seconds


@dataclass
class Compute:
    """Times of the stages of a computation."""

    input: Duration = field(default_factory=Duration)
    """Preparation of the input."""
    infer: Duration = field(default_factory=Duration)
    """Run of the engine."""
    output: Duration = field(default_factory=Duration)
    """Postprocessing."""

    def add(self, input_seconds: float, infer_seconds: float, output_seconds: float) -> None:
        """Count a computation."""
        self.input.add(input_seconds)
        self.infer.add(infer_seconds)
        self.output.add(output_seconds)


@dataclass
class VersionStatistics:
    """Counters of one version of a model."""

    success: Duration = field(default_factory=Duration)
    """Requests whose images were all answered."""
    fail: Duration = field(default_factory=Duration)
    """Other requests that reached the model."""
    queue: Duration = field(default_factory=Duration)
    """Waits of successful requests for the engine."""
    compute: Compute = field(default_factory=Compute)
    """Stages of successful requests."""
    batches: dict[int, Compute] = field(default_factory=dict)
    """Stages of runs of the engine, by the number of images."""
    last_inference: float = 0.0
    """Time of the last run, in seconds of Unix time."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def executions(self) -> int:
        """Return the number of runs of the engine."""
        return sum(compute.infer.count for compute in list(self.batches.values()))

    @property
    def images(self) -> int:
        """Return the number of images in these runs."""
        return sum(size * compute.infer.count for size, compute in list(self.batches.items()))

    @contextmanager
    def request(self) -> Iterator[list[Times | None]]:
        """Count a request. The block adds the times of its images, or None for an unusable one, with which it fails."""
        started, images = time.monotonic(), list[Times | None]()
        try:
            yield images
        finally:
            self._add_request(time.monotonic() - started, images)

    def add_batch(self, images: int, input_seconds: float, infer_seconds: float, output_seconds: float) -> None:
        """Count a run of the engine. May be called from several threads."""
        with self._lock:
            self.batches.setdefault(images, Compute()).add(input_seconds, infer_seconds, output_seconds)
            self.last_inference = time.time()

    def _add_request(self, seconds: float, images: Sequence[Times | None]) -> None:
        usable = [times for times in images if times]
        if not usable or len(usable) < len(images):
            self.fail.add(seconds)
            return
        slowest = max(usable, key=sum)
        self.success.add(seconds)
        self.queue.add(slowest.queue)
        self.compute.add(slowest.input, slowest.infer, slowest.output)


class Statistics(dict[tuple[str, str], VersionStatistics]):
    """The counters of all models, by name and version."""

    def of(self, model: str, version: int) -> VersionStatistics:
        """Return the counters of a version, which start at 0."""
        return self.setdefault((model, str(version)), VersionStatistics())
