"""Load and unload models. Concurrent requests for a model share one load, and failed loads are remembered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import methodcaller
from typing import Final

from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Problem
from model_zoo.runtime.base import Engine, EngineOptions, OpenEngine
from service.inference.allocator import release_memory
from service.inference.batcher import BatchingOptions
from service.inference.errors import LoadQueueFull, NotReady
from service.inference.failures import LoadFailures, ReasonLog, fingerprint
from service.inference.loaded_model import LoadedModel
from service.inference.model_settings import NO_SETTINGS, ModelSettings
from service.inference.residency import Effort, Residency, model_bytes
from service.inference.timed_calls import LOAD_SECONDS, CallTimeout, TimedCalls
from service.telemetry.metrics import Metrics

CLOSE_SECONDS: Final = 10.0  # for the loads that are under way at the end
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Plan:
    """Settings, engine options and memory of a load."""

    settings: ModelSettings
    options: EngineOptions
    size: int


class Loader:
    """Owns the loaded models and the tasks that load and unload them."""

    def __init__(
        self,
        open_engine: OpenEngine,
        options: EngineOptions,
        batching: BatchingOptions,
        logged: ReasonLog,
        metrics: Metrics,
        *,
        memory: int | None = None,
        max_waiters: int = 64,
    ) -> None:
        """Load with the options of the server. `memory` is the budget in bytes of all models."""
        self._open_engine, self._options, self._batching = open_engine, options, batching
        self._logged, self._metrics, self._max_waiters = logged, metrics, max_waiters
        self.models: dict[Package, LoadedModel] = {}
        """The loaded models, least recently used first."""
        self.loading: dict[Package, asyncio.Task[None]] = {}
        self.failed = LoadFailures()
        self.settings: Mapping[Package, ModelSettings] = {}
        """Settings that the repository asks for."""
        self._faults: Sequence[Problem] = ()
        self._refused: dict[Package, tuple[ModelSettings, str]] = {}  # a loaded model cannot run with them
        self._unplaced: set[Package] = set()
        self.residency = Residency(memory, self.models, lambda package: self.start_unload([package], "memory"))
        self._plans: dict[LoadedModel, _Plan] = {}
        self._turn = asyncio.Lock()
        self._waiters, self._last_seconds = 0, 1.0
        self._unloading: set[asyncio.Task[None]] = set()
        self._calls = TimedCalls("load")

    def needs_load(self, package: Package) -> bool:
        """Return True if a package is not loaded, and may be tried now."""
        return package not in self.models and self.failed.allow(package)

    def follow(self, settings: Mapping[Package, ModelSettings], faults: Sequence[Problem]) -> None:
        """Use other settings from now on. Packages that failed with the previous ones are due at once.

        `faults` are the settings that cannot be used.
        """
        for package, failure in self.failed.items():
            if settings.get(package, NO_SETTINGS) != self.settings.get(package, NO_SETTINGS):
                failure.next_try = 0.0
        self.settings, self._faults = settings, faults
        self._refused = {p: refused for p, refused in self._refused.items() if refused[0] == settings.get(p)}
        self._unplaced.clear()  # the loads that follow find out which ones still wait

    def unfollowed(self, name: str | None = None) -> list[str]:
        """List settings and new versions that cannot be followed and why, for one model or for all."""
        faults = [(fault.name, fault.reason) for fault in self._faults]
        refused = [(package.name, reason) for package, (_, reason) in self._refused.items()]
        waiting = [(package.name, self._wait_reason(package)) for package in self._unplaced]
        return [reason for model, reason in (*faults, *refused, *waiting) if name in (None, model)]

    async def request(self, package: Package, deadline: float) -> None:
        """Load a package for a request that waits no longer than its deadline.

        Raises:
            LoadQueueFull: too many requests wait for loads.
            NotReady: the package is not loaded in time.
        """
        if not self.needs_load(package):
            return
        if self._waiters >= self._max_waiters:
            text = f"{self._max_waiters} requests are already waiting for models to load; try again later"
            raise LoadQueueFull(text, self._last_seconds)
        self._waiters += 1
        try:
            async with asyncio.timeout_at(deadline):
                while self.needs_load(package):  # again, if another model displaces it at once
                    await self.load(package)
        except TimeoutError as error:
            loading = f"{package.reference} is still loading"
            reason = loading if package in self.loading else self._wait_reason(package)
            raise NotReady(f"{reason}; try again") from error
        finally:
            self._waiters -= 1

    async def load(self, package: Package, effort: Effort = "wait") -> None:
        """Wait until the package is loaded or has failed, or finds no memory. Concurrent callers share one load."""
        if effort == "free" and self._turn.locked():  # others wait for memory
            return
        async with self._turn:
            plan = self._plan(package)
            if self._is_missing(package) and await self._reserve(package, plan, effort):
                self.loading[package] = asyncio.create_task(self._load(package, plan))
        if package in self.loading:
            await asyncio.shield(self.loading[package])

    async def reload(self, package: Package) -> None:
        """Replace a loaded model whose settings have changed. If that fails, it stays as it is."""
        before, plan = self.models.get(package), self._plan(package)
        if before is None or package in self._refused or self._plans[before].settings == plan.settings:
            return
        async with self._turn:
            if not await self._reserve(package, plan, "evict"):
                return
        try:
            model = await self._open(package, plan)
        except Exception as error:
            reason = f"{_reason(package, error)}; the previous settings stay in force"
            self._refused[package] = (plan.settings, reason)
            if _unexpected(error):
                LOG.error("%s", reason, exc_info=error)
            return
        if self.models.get(package) is before:
            self.models[package] = model
            self._end(before, package, "settings")
        elif self._is_missing(package):  # it made way for itself
            self.models[package] = model
        else:
            self._end(model, package, "settings")

    def use(self, package: Package) -> LoadedModel:
        """Return a loaded model, which is the most recently used one from now on."""
        model = self.models[package] = self.models.pop(package)
        return model

    def size(self, package: Package) -> int:
        """Return the bytes that a loaded package counts in the memory budget, or 0 if it is not loaded."""
        return self._plans[self.models[package]].size if package in self.models else 0

    async def finish(self, packages: Iterable[Package]) -> None:
        """Wait for the loads of packages that are under way."""
        if tasks := [self.loading[package] for package in packages if package in self.loading]:
            await asyncio.wait(tasks)

    async def unload(self, packages: Iterable[Package], reason: str) -> None:
        """Unload packages and wait until no request uses them. New requests do not get them any more."""
        await asyncio.shield(asyncio.gather(*self.start_unload(packages, reason)))

    def start_unload(self, packages: Iterable[Package], reason: str) -> list[asyncio.Task[None]]:
        """Unload packages in the background, each once no request uses it."""
        return [self._end(self.models.pop(package), package, reason) for package in packages]

    async def close(self) -> None:
        """Finish the accepted images and unload all models. Loads that do not end soon are abandoned."""
        if tasks := list(self.loading.values()):
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        for package, task in self.loading.items():
            LOG.warning("%s: its load is abandoned", package.reference)
            task.cancel()
        self.start_unload(list(self.models), "shutdown")
        await asyncio.gather(*self._unloading)

    def _is_missing(self, package: Package) -> bool:
        return self.needs_load(package) and package not in self.loading

    async def _reserve(self, package: Package, plan: _Plan, effort: Effort) -> bool:
        fits = await self.residency.reserve(package, plan.size, effort)
        self._unplaced -= {package}
        self._unplaced |= {package} if not fits and effort == "evict" else set()
        return fits

    def _wait_reason(self, package: Package) -> str:
        return f"{package.reference} waits for memory: {self.residency.describe()}"

    def _plan(self, package: Package) -> _Plan:
        settings = self.settings.get(package, NO_SETTINGS)
        options = settings.engine_options(self._options)
        return _Plan(settings, options, model_bytes(package, options))

    async def _load(self, package: Package, plan: _Plan) -> None:
        files = await asyncio.to_thread(fingerprint, package.path)
        try:
            self.models[package] = await self._open(package, plan)
            self.failed.pop(package, None)
        except Exception as error:
            reason = _reason(package, error)
            self.failed.add(package, reason, files)
            if self._logged.is_new(package.reference, reason):
                LOG.error("refused: %s; it will be tried again", reason, exc_info=_unexpected(error))
        finally:
            del self.loading[package]

    async def _open(self, package: Package, plan: _Plan) -> LoadedModel:
        """Open a model in the memory that is reserved for it."""
        started, result = time.perf_counter(), "failed"
        try:
            self.residency.check(package, plan.size)
            own = replace(package, card=plan.settings.card(package.card))
            engine = await self._open_in_time(package, plan.options)
            model = LoadedModel(own, engine, plan.settings.batching(self._batching), self._metrics)
            result = "loaded"
        except BaseException:
            self.residency.free(plan.size)
            raise
        finally:
            self._metrics.model_loads.labels(package.name, package.version, result).inc()
        self._metrics.start_version(package.name, package.version)
        self._plans[model] = plan
        self._last_seconds = time.perf_counter() - started
        self._metrics.model_load_seconds.labels(package.name).observe(self._last_seconds)
        LOG.info("loaded %s on %s in %.2f s", package.reference, engine.device, self._last_seconds)
        return model

    async def _open_in_time(self, package: Package, options: EngineOptions) -> Engine:
        """Open an engine in a daemon thread, because a load that hangs must not keep the server from ending."""
        try:
            load = partial(self._open_engine, package, options)
            return await self._calls.wait_for(load, LOAD_SECONDS, methodcaller("close"))
        except CallTimeout as error:
            raise PackageError(f"{package.reference}: its engine hangs while loading ({error})") from error

    def _end(self, model: LoadedModel, package: Package, reason: str) -> asyncio.Task[None]:
        """Unload a model that gets no new requests."""
        LOG.info("unloading %s: %s", package.reference, reason)
        self._metrics.model_unloads.labels(package.name, package.version, reason).inc()
        if package not in self.models:
            self._metrics.retire_version(package.name, package.version)
        size = self._plans.pop(model).size
        self.residency.leaving += size
        task = asyncio.create_task(self._close(model, size))
        self._unloading.add(task)
        task.add_done_callback(self._unloading.discard)
        return task

    async def _close(self, model: LoadedModel, size: int) -> None:
        try:
            await model.unload()
        except Exception:
            LOG.exception("%s: its engine cannot be closed", model.package.reference)
        finally:
            await asyncio.to_thread(release_memory)
            self.residency.leaving -= size
            self.residency.free(size)


def _reason(package: Package, error: Exception) -> str:
    """Return why a package cannot be loaded. The message of an unexpected error is only for the log."""
    if _unexpected(error):
        return f"{package.reference}: cannot be loaded ({type(error).__name__}); see the server's log"
    reason = str(error)
    return reason if package.reference in reason else f"{package.reference}: {reason}"


def _unexpected(error: Exception) -> Exception | None:
    return None if isinstance(error, LineageError) else error
