"""Load and unload models. Concurrent requests for a model share one load, and failed loads are remembered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Package
from model_zoo.runtime.base import Engine
from service.inference.batcher import BatchingOptions
from service.inference.failures import Fingerprint, LoadFailures, ReasonLog, fingerprint
from service.inference.loaded_model import LoadedModel
from service.telemetry.metrics import Metrics

LOG = logging.getLogger(__name__)


class Loader:
    """Owns the loaded models and the tasks that load and unload them."""

    def __init__(
        self,
        open_engine: Callable[[Package], Engine],
        batching: BatchingOptions,
        logged: ReasonLog,
        metrics: Metrics,
    ) -> None:
        self._open_engine, self._batching, self._logged, self._metrics = open_engine, batching, logged, metrics
        self.models: dict[Package, LoadedModel] = {}
        self.loading: dict[Package, asyncio.Task[None]] = {}
        self.failed = LoadFailures()
        self._unloading: set[asyncio.Task[None]] = set()

    def needs_load(self, package: Package) -> bool:
        """Return True if a package is not loaded, and may be tried now."""
        return package not in self.models and self.failed.allow(package)

    async def load(self, package: Package) -> None:
        """Wait until the package is loaded or has failed. Concurrent callers share one load."""
        if self.needs_load(package):
            if package not in self.loading:
                self.loading[package] = asyncio.create_task(self._load(package))
            await asyncio.shield(self.loading[package])

    async def finish(self, packages: Iterable[Package]) -> None:
        """Wait for the loads of packages that are under way."""
        if tasks := [self.loading[package] for package in packages if package in self.loading]:
            await asyncio.wait(tasks)

    async def unload(self, packages: Iterable[Package], reason: str) -> None:
        """Unload packages and wait until no request uses them. New requests do not get them any more."""
        await asyncio.shield(asyncio.gather(*self.start_unload(packages, reason)))

    def start_unload(self, packages: Iterable[Package], reason: str) -> list[asyncio.Task[None]]:
        """Unload packages in the background, each once no request uses it."""
        return [self._start_unload(package, reason) for package in packages]

    async def close(self) -> None:
        """Finish the accepted images and unload all models."""
        self.start_unload(list(self.models), "shutdown")
        await asyncio.gather(*self._unloading)

    def _start_unload(self, package: Package, reason: str) -> asyncio.Task[None]:
        LOG.info("unloading %s: %s", package.reference, reason)
        self._metrics.model_unloads.labels(package.name, package.version, reason).inc()
        task = asyncio.create_task(self.models.pop(package).unload())
        self._unloading.add(task)
        task.add_done_callback(self._unloading.discard)
        return task

    async def _load(self, package: Package) -> None:
        started = time.perf_counter()
        files = await asyncio.to_thread(fingerprint, package.path)
        try:
            engine = await asyncio.to_thread(self._open_engine, package)
            self.models[package] = LoadedModel(package, engine, self._batching)
            self.failed.pop(package, None)
            seconds = time.perf_counter() - started
            self._metrics.model_load_seconds.labels(package.name).observe(seconds)
            LOG.info("loaded %s on %s in %.2f s", package.reference, engine.device, seconds)
        except LineageError as error:
            reason = str(error)
            self._fail(package, reason if package.reference in reason else f"{package.reference}: {reason}", files)
        except Exception as error:
            reason = f"{package.reference}: cannot be loaded ({type(error).__name__}); see the server's log"
            self._fail(package, reason, files, error)
        finally:
            del self.loading[package]
            result = "loaded" if package in self.models else "failed"
            self._metrics.model_loads.labels(package.name, package.version, result).inc()

    def _fail(self, package: Package, reason: str, files: Fingerprint, error: Exception | None = None) -> None:
        self.failed.add(package, reason, files)
        if self._logged.is_new(package.reference, reason):
            LOG.error("refused: %s; it will be tried again", reason, exc_info=error)
