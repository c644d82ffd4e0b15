"""Measure configurations of a package, each in a process of its own.

Processes keep the memory of the configurations apart, and a runtime that crashes or hangs ends only its own. Rounds
alternate between the configurations, so that a change of load meets all of them.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any, Final, Self

from loky import ProcessPoolExecutor

from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime import onnxruntime
from model_zoo.runtime.base import Engine, EngineOptions
from model_zoo.runtime.choice import Configuration, Trial
from model_zoo.runtime.golden import golden_feeds, measure_agreement

MIN_ROUNDS: Final = 3
SLICE_SECONDS: Final = 0.2  # of a round, with all workers
STEP_SECONDS: Final = 120.0  # limit of loading, and of a round
Progress = Callable[[], object]


def measure(
    package: Package,
    options: EngineOptions,
    configurations: Sequence[Configuration],
    *,
    rounds: int,
    seconds: float,
    progress: Progress = lambda: None,
) -> list[Trial]:
    """Return a trial for each configuration.

    Args:
        package: Package with golden images.
        options: Options of the engines. Provider and compute are replaced.
        configurations: What to measure.
        rounds: Max number of rounds, at least three.
        seconds: Time after which no round starts but the first three. It begins when all engines are open.
        progress: Called after each engine that is opened, and after each round.
    """
    with ExitStack() as stack:
        runners = [stack.enter_context(Runner(package, options, each)) for each in configurations]
        with ThreadPoolExecutor(len(runners)) as pool:  # compiling takes seconds, and not all cores
            for _ in pool.map(Runner.open, runners):
                progress()
        deadline = time.monotonic() + seconds
        for done in range(rounds):
            if done >= MIN_ROUNDS and time.monotonic() > deadline:
                break
            for runner in runners:
                runner.run_round()
            progress()
        return [runner.trial() for runner in runners]


class Runner:
    """A process that runs one configuration. After a failure, its steps do nothing."""

    def __init__(self, package: Package, options: EngineOptions, configuration: Configuration) -> None:
        self._trial = Trial(*configuration)
        self._arguments = package, replace(options, provider=configuration.provider, compute=configuration.compute)
        self._executor = ProcessPoolExecutor(1)
        self._rounds: list[tuple[float, float]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._executor.shutdown(kill_workers=True)

    def open(self) -> None:
        """Open the engine, and compare its detections with the expected ones."""
        if result := self._call(_open, *self._arguments):
            self._trial = replace(self._trial, agreement=result[0], problem=result[1])

    def run_round(self) -> None:
        """Measure the time of a lone image, and the throughput of all workers."""
        if result := self._call(_run_round):
            self._rounds.append(result)

    def trial(self) -> Trial:
        """Return the medians of all rounds, and the memory after them."""
        memory = self._call(_grown_megabytes)
        if not self._rounds or memory is None:
            return self._trial
        lone, throughput = (median(values) for values in zip(*self._rounds, strict=True))
        return replace(self._trial, lone_ms=lone * 1000, images_per_second=throughput, memory_mb=memory)

    def _call(self, function: Callable[..., Any], *arguments: object) -> Any:
        if self._trial.problem:
            return None
        try:
            future: Future[Any] = self._executor.submit(function, *arguments)
            return future.result(STEP_SECONDS)
        except Exception as error:  # also of the runtime, or because the process has died
            reason = str(error) if isinstance(error, LineageError) else f"its process failed ({type(error).__name__})"
            self._trial = replace(self._trial, problem=reason)
            return None


class _Opened:
    """Engine and images of a process that measures."""

    def __init__(self, package: Package, options: EngineOptions) -> None:
        self.before = _resident_bytes()
        self.engine: Engine = onnxruntime.load(package, options)
        self.feeds: Sequence[Feeds] = golden_feeds(package, self.engine)


_opened: _Opened | None = None  # of this process, which a runner has started


def _open(package: Package, options: EngineOptions) -> tuple[float, str | None]:
    global _opened
    _opened = _Opened(package, options)
    result = measure_agreement(package, _opened.engine)
    _run_round()  # allocates the memory of all workers: loky replaces a process that grows between tasks
    return result


def _run_round() -> tuple[float, float]:
    """Return the seconds of a lone image, and images per second of all workers."""
    assert _opened
    engine, feeds = _opened.engine, _opened.feeds
    started = time.perf_counter()
    for each in feeds:
        engine.run(each)
    lone = (time.perf_counter() - started) / len(feeds)
    started = time.perf_counter()
    deadline = started + SLICE_SECONDS

    def work(first: int) -> int:
        """Run images until the deadline, and return their number."""
        for count, each in enumerate(cycle([*feeds[first:], *feeds[:first]]), start=1):
            engine.run(each)
            if time.perf_counter() > deadline:
                return count
        return 0

    with ThreadPoolExecutor(engine.workers) as pool:
        done = sum(pool.map(work, (i % len(feeds) for i in range(engine.workers))))
    return lone, done / (time.perf_counter() - started)


def _grown_megabytes() -> float:
    assert _opened
    return (_resident_bytes() - _opened.before) / 1e6


def _resident_bytes() -> int:
    """Return the memory of this process: today's on Linux, the highest elsewhere."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
