"""Shadow traffic: copies of answered images run on another version of the model, and its detections are compared.

A shadow never delays or fails an answer. Its images wait in a bounded queue, and those that find it full are dropped.
One image at a time runs, and only starts while no other image is in the server. Its inference runs on a thread that the
operating system serves last, with an engine of its own that uses that thread alone. All else runs on other threads: one
that waits for a core must not hold the interpreter's lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import cv2

from model_zoo.contract.card import ModelCard
from model_zoo.contract.detection_diff import DetectionPair, Difference, pair_detections
from model_zoo.contract.detections import Detections
from model_zoo.contract.diff_drawing import draw_differences
from model_zoo.contract.errors import LineageError
from model_zoo.contract.images import DEFAULT_LIMITS, ImageLimits, decode_image
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import ModelInput, Query, collate, postprocess, read_input
from model_zoo.runtime.base import Engine, Outputs
from service.inference.failures import fingerprint
from service.inference.idle_thread import IdleThread
from service.inference.request import RequestContext
from service.inference.rollout import Rollouts
from service.inference.shadow_report import Comparison, Result, ShadowReport
from service.telemetry.metrics import Metrics

QUEUE_IMAGES: Final = 64
QUEUE_BYTES: Final = 64 << 20
MAX_RUN: Final = 300.0  # seconds of an image, most of which it may wait for a core
MAX_CLOSE: Final = 5.0  # seconds to finish an image at shutdown
QUIET: Final = 0.005  # seconds without an image in the server before a shadow image starts
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ShadowJob:
    """An answered image that waits for its shadow."""

    image: bytes
    """Image file."""
    answer: Detections
    """Detections of the version that answered."""
    comparison: Comparison
    """Sums that it is added to."""
    resolve: Callable[[ModelCard], Query]
    """Makes the query of the request for a card."""


@dataclass(frozen=True, eq=False)
class _Prepared:
    item: ModelInput
    query: Query


@dataclass(frozen=True, eq=False)
class _Outcome:
    detections: Detections
    pairs: list[DetectionPair]


class Shadow:
    """Runs shadow versions in idle moments, and sums up the differences. Usable from one event loop."""

    def __init__(
        self,
        rollouts: Rollouts,
        load: Callable[[Package], Engine],
        metrics: Metrics,
        *,
        limits: ImageLimits = DEFAULT_LIMITS,
        exact: bool = False,
        max_examples: int = 0,
    ) -> None:
        """Follow `rollouts`. `load` opens an engine with one thread. Images are decoded as by the ImagePool."""
        self._rollouts, self._load, self._metrics = rollouts, load, metrics
        self._limits, self._exact = limits, exact
        self.report = ShadowReport(max_examples)
        self._engines: dict[Package, Engine] = {}
        self._waiting: deque[ShadowJob] = deque()
        self._bytes = 0
        self._primaries = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._idle_since = 0.0
        self._thread = IdleThread("shadow")
        self._running: asyncio.Task[None] | None = None
        self._closing = False
        rollouts.on_update = self._follow

    @property
    def waiting(self) -> int:
        """Number of images that wait for their shadow."""
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Return True while an image waits or runs."""
        return self._running is not None and not self._running.done()

    @contextmanager
    def primary(self) -> Iterator[None]:
        """Start no shadow image inside the block."""
        self._primaries += 1
        self._is_idle.clear()
        try:
            yield
        finally:
            self._primaries -= 1
            if not self._primaries:
                self._idle_since = asyncio.get_running_loop().time()
                self._is_idle.set()

    def offer(
        self,
        reference: str,
        answers: Iterable[tuple[bytes, Detections]],
        primary: Package,
        resolve: Callable[[ModelCard], Query],
        context: RequestContext,
    ) -> None:
        """Queue the images of an answered request, if a policy wants a copy of it."""
        shadow = self._rollouts.shadow(reference, context)
        if shadow is None or shadow == primary or self._closing:
            return
        comparison = self.report.comparison(primary, shadow)
        for image, detections in answers:
            self._queue(ShadowJob(image, detections, comparison, resolve))
        if self._waiting and not self.is_busy:
            self._running = asyncio.create_task(self._run_waiting())

    async def close(self) -> None:
        """Drop the waiting images, finish the one that runs, and free the engines."""
        self._closing = True
        self._waiting.clear()
        self._is_idle.set()
        if self._running:
            await asyncio.wait({self._running}, timeout=MAX_CLOSE)
            self._running.cancel()
        for package in list(self._engines):
            self._close_engine(package)
        self._thread.end()

    def _queue(self, job: ShadowJob) -> None:
        if len(self._waiting) >= QUEUE_IMAGES or self._bytes + len(job.image) > QUEUE_BYTES:
            self._count(job.comparison, "dropped")
            return
        self._waiting.append(job)
        self._bytes += len(job.image)

    async def _run_waiting(self) -> None:
        while self._waiting:
            await self._wait_until_idle()
            if self._waiting:  # not closed meanwhile
                job = self._waiting.popleft()
                self._bytes -= len(job.image)
                await self._run(job)

    async def _wait_until_idle(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and (self._primaries or loop.time() < self._idle_since + QUIET):
            await self._is_idle.wait()
            await asyncio.sleep(QUIET)

    async def _run(self, job: ShadowJob) -> None:
        comparison = job.comparison
        try:
            engine = await self._engine(comparison.shadow)
            prepared = await asyncio.to_thread(self._prepare, job, engine)
            async with asyncio.timeout(MAX_RUN):
                outputs = await self._thread.run(partial(engine.run, collate([prepared.item], [prepared.query])))
            outcome = await asyncio.to_thread(_compare, job, prepared, outputs)
            counts = self._add(comparison, outcome.pairs)
            if self.report.wants(counts):
                jpeg = await asyncio.to_thread(_draw, job, self._limits, outcome)
                self.report.add_example(comparison, counts, jpeg)
        except TimeoutError:
            self._abandon(comparison.shadow)
            self._fail(comparison, f"no result within {MAX_RUN:g} s")
        except LineageError as error:
            self._fail(comparison, str(error))
        except Exception as error:
            if comparison.last_failure is None:
                LOG.exception("an image cannot be compared with shadow %s", comparison.shadow.reference)
            self._fail(comparison, f"{type(error).__name__}; see the server's log")

    def _prepare(self, job: ShadowJob, engine: Engine) -> _Prepared:
        """Decode and letterbox the image as the server does."""
        card = engine.card
        item = read_input(card, job.image, engine.canvases, exact=self._exact, limits=self._limits)
        return _Prepared(item, job.resolve(card))

    async def _engine(self, package: Package) -> Engine:
        """Return the engine of a shadow version, loading it first if needed.

        Raises:
            LineageError: it cannot be loaded, or is not due for another try.
        """
        if package not in self._engines:
            failed = self._rollouts.failed
            if not failed.allow(package):
                raise LineageError(failed.reason(package) or "it cannot be loaded")
            files = await asyncio.to_thread(fingerprint, package.path)
            try:
                self._engines[package] = await asyncio.to_thread(self._load, package)
            except Exception as error:
                known = isinstance(error, LineageError)
                reason = str(error) if known else f"it cannot be loaded ({type(error).__name__}); see the server's log"
                failed.add(package, f"{package.reference}: {reason}", files)
                raise
            self._metrics.start_version(package.name, package.version)
            LOG.info("loaded %s as a shadow", package.reference)
        return self._engines[package]

    def _abandon(self, package: Package) -> None:
        """Leave a call that hangs to its thread, with its engine, and begin again with another one."""
        LOG.error("shadow %s: no result within %g s", package.reference, MAX_RUN)
        self._engines.pop(package, None)
        self._thread.end()
        self._thread = IdleThread("shadow")

    def _follow(self) -> None:
        """Forget the sums of versions that are no shadow any more. Free their engines and those of unloaded ones."""
        shadows = self._rollouts.shadows()
        self.report.keep(shadows)
        running = {package for package in shadows if not self._rollouts.failed.is_stopped(package)}
        self._waiting = deque(job for job in self._waiting if job.comparison.shadow in running)
        self._bytes = sum(len(job.image) for job in self._waiting)
        for package in self._engines.keys() - running:
            self._close_engine(package)

    def _close_engine(self, package: Package) -> None:
        self._metrics.retire_version(package.name, package.version)
        self._thread.submit(self._engines.pop(package).close)  # after the image that may run on it

    def _add(self, comparison: Comparison, pairs: Sequence[DetectionPair]) -> Counter[tuple[str, Difference]]:
        name, version = comparison.shadow.name, comparison.shadow.version
        self._observe(comparison.shadow, "compared")
        for pair in pairs:
            for difference in pair.differences():
                self._metrics.shadow_detections.labels(name, version, pair.label, difference).inc()
            if pair.first is not None and pair.second is not None:
                self._metrics.shadow_iou.labels(name, version).observe(pair.iou)
                self._metrics.shadow_score_change.labels(name, version).observe(pair.score_change)
        return comparison.add(pairs)

    def _fail(self, comparison: Comparison, reason: str) -> None:
        comparison.last_failure = reason
        self._count(comparison, "failed")

    def _count(self, comparison: Comparison, result: Result) -> None:
        comparison.images[result] += 1
        self._observe(comparison.shadow, result)

    def _observe(self, shadow: Package, result: Result) -> None:
        self._metrics.shadow_images.labels(shadow.name, shadow.version, result).inc()


def _compare(job: ShadowJob, prepared: _Prepared, outputs: Outputs) -> _Outcome:
    rows, counts = outputs
    detections = postprocess(rows[0], int(counts[0]), prepared.item.geometry, prepared.query)
    first, second = (package.card.class_names for package in (job.comparison.primary, job.comparison.shadow))
    return _Outcome(detections, pair_detections(job.answer, detections, first, second))


def _draw(job: ShadowJob, limits: ImageLimits, outcome: _Outcome) -> bytes:
    """Draw the differences on the image, which is decoded again, as few are drawn."""
    drawn = draw_differences(decode_image(job.image, limits), job.answer, outcome.detections, outcome.pairs)
    return cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))[1].tobytes()
