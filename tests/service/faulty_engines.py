"""Fake engines that hang or die."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import pytest

from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import EngineOptions, Outputs
from tests.service.fake_engine import FakeEngine

Fault = Literal["", "hangs", "hangs on images", "dead", "fails to load"]
DEADLY = 77  # a run hangs if the first pixel of an image has this red value


@dataclass
class FaultyEngine(FakeEngine):
    """Works, hangs until `released`, or fails like a device that is lost."""

    fault: Fault = ""
    released: threading.Event = field(default_factory=threading.Event)

    def run(self, feeds: Feeds) -> Outputs:
        blank = not feeds["images"].any()
        deadly = (feeds["images"][:, 0, 0, 0] == DEADLY).any()
        if self.fault == "hangs" or deadly or (self.fault == "hangs on images" and not blank):
            self.released.wait()
        if self.fault == "dead":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return super().run(feeds)


class FaultyEngines:
    """Opens engines: the n-th has the n-th fault, those beyond the list work."""

    def __init__(self, *faults: Fault, workers: int = 1, max_batch: int = 1) -> None:
        self.faults, self.workers, self.max_batch = faults, workers, max_batch
        self.opened: list[FaultyEngine] = []
        self.loads = 0
        self.released = threading.Event()

    def __call__(self, package: Package, _: EngineOptions | None = None) -> FaultyEngine:
        fault = self.faults[self.loads] if self.loads < len(self.faults) else ""
        self.loads += 1
        if fault == "fails to load":
            raise RuntimeError("no CUDA device")
        engine = FaultyEngine(package.card, self.workers, self.max_batch, fault=fault, released=self.released)
        self.opened.append(engine)
        return engine


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """Fail if a test leaves a thread of an engine."""
    before = _engine_threads()
    yield
    for thread in _engine_threads() - before:
        thread.join(10)
        assert not thread.is_alive(), thread


def _engine_threads() -> set[threading.Thread]:
    """Other threads may begin at any time: an application of the whole session runs in the background."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("engine")}
