"""Replace an engine that hangs or dies, and try its images once more.

    engine = EngineGuard(package, load, timeout=10.0, metrics=metrics)

- A run that exceeds the time limit is abandoned together with its engine, because no thread can be ended.
- A run that fails is followed by one of a black image. If that works, the image was at fault. If not, the engine is.

The first replacement is opened at once. If that fails before it has answered a request, the next one follows after
5 s. The wait doubles each time, up to 5 min. Meanwhile the model is unusable, and `problem` has the reason. A new
engine goes into service after it has answered a black image.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Condition, Event, Thread
from typing import Final, Literal

from model_zoo.contract.errors import LineageError
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import Engine, EngineUnavailable, Outputs, blank_feeds
from service.inference.errors import EngineFailed
from service.inference.failures import MAX_WAIT, MIN_WAIT, backoff
from service.inference.timed_calls import LOAD_SECONDS, CallTimeout, TimedCalls
from service.telemetry.metrics import Metrics

EngineState = Literal["ok", "replaced", "failed"]
MAX_STUCK: Final = 4  # abandoned runs of one model: each keeps a thread, and the memory of its engine
PATIENCE: Final = 30.0  # seconds a run waits for the first replacement
LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class _InService:
    """An engine and its use."""

    engine: Engine
    runs: int = 0
    retired: bool = False


class EngineGuard:
    """An engine of a package that is replaced when it hangs or dies."""

    def __init__(
        self, package: Package, load: Callable[[Package], Engine], timeout: float, metrics: Metrics | None = None
    ) -> None:
        """Open an engine with `load`. A run may take `timeout` seconds."""
        self._package, self._load, self._timeout = package, load, timeout
        self._metrics = metrics or Metrics()
        self._calls = TimedCalls("engine")
        self._changed = Condition()  # guards all that follows
        self._current: _InService | None = _InService(load(package))
        self._closed = Event()
        self._failures, self._next_try = 0, 0.0
        self._replaced = False
        self._problem: str | None = None
        engine = self._current.engine
        self.card, self.device = engine.card, engine.device
        self.workers, self.max_batch = engine.workers, engine.max_batch
        self._canvases, self.choice = engine.canvases, engine.choice

    @property
    def canvases(self) -> Sequence[Size]:
        """Canvas sizes (height, width) that are ready to run."""
        return self._canvases

    @property
    def state(self) -> EngineState:
        """ok, replaced: an earlier engine failed, failed: no engine is in service."""
        if self._current is None:
            return "failed"
        return "replaced" if self._replaced else "ok"

    @property
    def problem(self) -> str | None:
        """Return why the model cannot be used, while a second replacement in a row is due, or None."""
        wait = max(0.0, self._next_try - time.monotonic())
        return self._problem and f"{self._problem}; the next try is in {wait:.0f} s"

    def run(self, feeds: Feeds) -> Outputs:
        """Run one batch. If the engine hangs or dies, a single image is tried once more on a new engine.

        A batch is not tried again as a whole: the batcher then runs its images one by one.

        Raises:
            EngineFailed: the engine failed again, or a new one is not ready.
        """
        current = self._enter()
        try:
            return self._attempt(current, feeds)
        except EngineFailed:
            if len(feeds["images"]) > 1:
                raise
        return self._attempt(self._enter(), feeds)

    def warm_up(self) -> None:
        """Do nothing: `load` warms up."""

    def close(self) -> None:
        """Close the engine and end the threads."""
        with self._changed:
            current, self._current = self._current, None
            self._closed.set()
            self._changed.notify_all()
        if current:
            current.engine.close()
        self._calls.close()

    def _enter(self) -> _InService:
        """Count a run on the engine in service. Wait for it while its first replacement is being opened."""
        with self._changed:
            self._changed.wait_for(lambda: self._current or self._problem or self._closed.is_set(), PATIENCE)
            if self._current is None:
                text = self.problem or f"{self._package.reference}: the engine is being replaced; try again"
                raise EngineFailed(text, max(1.0, self._next_try - time.monotonic()))
            self._current.runs += 1
            return self._current

    def _attempt(self, entered: _InService, feeds: Feeds) -> Outputs:
        try:
            outputs = self._calls.run(partial(self._run, entered, feeds), self._timeout)
        except LineageError:
            raise
        except CallTimeout as error:
            raise self._replace(entered, "hung", f"no answer within {self._timeout:g} s (run_timeout)") from error
        except Exception as error:
            if self._answers(entered, feeds["images"].shape[1:3]):
                raise
            raise self._replace(entered, "error", f"{type(error).__name__}: {error}") from error
        self._failures = self._failures if entered.retired else 0
        return outputs

    def _run(self, entered: _InService, feeds: Feeds) -> Outputs:
        try:
            return entered.engine.run(feeds)
        finally:
            self._leave(entered)

    def _leave(self, entered: _InService) -> None:
        """End a run. The last one on a retired engine closes it."""
        with self._changed:
            entered.runs -= 1
            unused = entered.retired and not entered.runs
        if unused:  # closing may hang, too
            Thread(target=_close, args=(entered.engine,), name="engine-close", daemon=True).start()

    def _answers(self, entered: _InService, canvas: Size) -> bool:
        """Return True if an engine can run a black image."""
        with self._changed:
            entered.runs += 1
        try:
            self._calls.run(partial(self._run, entered, blank_feeds(canvas, 1)), self._timeout)
        except Exception:
            return False
        return True

    def _replace(self, failed: _InService, reason: str, description: str) -> EngineFailed:
        """Take an engine out of service, unless another run already did, and return the error of its runs."""
        text = f"{self._package.reference}: the engine failed ({description})"
        with self._changed:
            if self._current is failed:
                self._current = None
                failed.retired = True
                failed.runs += 1  # of the thread that opens the next engine, which leaves it
                self._fail(reason, text)
                Thread(target=self._reopen, args=(failed,), name="engine-replacement", daemon=True).start()
        return EngineFailed(f"{text}; try again")

    def _fail(self, reason: str, text: str) -> None:
        """Record a failure and when to open the next engine. Called with the lock."""
        now = time.monotonic()
        self._failures = self._failures + 1 if now - self._next_try < MAX_WAIT else 1
        wait = backoff(self._failures - 1) if self._failures > 1 else 0.0
        self._next_try = now + wait
        self._problem = text if wait else self._problem
        self._metrics.engine_failures.labels(self._package.name, self._package.version, reason).inc()
        LOG.error("%s; a new one is opened %s", text, f"in {wait:.0f} s" if wait else "now")
        self._changed.notify_all()

    def _reopen(self, failed: _InService) -> None:
        """Open engines until one answers."""
        self._leave(failed)
        while not self._closed.wait(max(0.0, self._next_try - time.monotonic())):
            if self._calls.stuck >= MAX_STUCK:
                self._wait_for_stuck()
                continue
            try:
                self._put_in_service(self._open())
            except Exception as error:
                with self._changed:
                    self._fail("load", f"{self._package.reference}: no new engine can be opened ({error})")
            else:
                return

    def _open(self) -> _InService:
        """Open an engine and check that it answers a black image on the same device as before."""
        opened = _InService(self._calls.run(partial(self._load, self._package), LOAD_SECONDS), runs=1)
        try:
            if opened.engine.device != self.device:
                raise EngineUnavailable(f"expected the device {self.device}; got {opened.engine.device}")
            if not self._answers(opened, self._canvases[0]):
                raise EngineUnavailable("it does not answer a black image")
        except EngineUnavailable:
            opened.retired = True
            raise
        finally:
            self._leave(opened)
        return opened

    def _put_in_service(self, opened: _InService) -> None:
        with self._changed:
            if not self._closed.is_set():
                self._current, self._replaced, self._problem = opened, True, None
                LOG.warning("%s: a new engine is in service", self._package.reference)
            self._changed.notify_all()
        if self._closed.is_set():
            _close(opened.engine)

    def _wait_for_stuck(self) -> None:
        """Open nothing more while too many runs hang."""
        with self._changed:
            stuck = f"{MAX_STUCK} inferences have not returned; restart the server"
            self._problem = f"{self._package.reference}: {stuck}"
            self._next_try = time.monotonic() + MIN_WAIT


def _close(engine: Engine) -> None:
    with suppress(Exception):  # it is broken
        engine.close()
