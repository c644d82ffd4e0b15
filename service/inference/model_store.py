"""The models in memory: follows a model repository, loads new versions, swaps and unloads.

    store = ModelStore(Repository(path), load=load_engine, batching=BatchingOptions())
    await store.refresh()                          # read the repository once; `watch()` repeats it
    async with store.lease("cars@stable") as model: ...

References without a version (`name`, `name@latest`, `name@alias`) switch to a new version once it is loaded and warm.
Default versions are loaded ahead (`eager="all"`: all versions), others on first request. All state belongs to the event
loop; disk and engines are accessed in threads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Literal

from model_zoo.contract.errors import LineageError, PackageError, PackageNotFound, QueryError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import Engine
from service.inference.batcher import BatchingOptions
from service.inference.catalog import Catalog, read_catalog
from service.inference.errors import NotReady
from service.inference.loaded_model import LoadedModel

PackageState = Literal["loaded", "loading", "failed", "available"]
LOG = logging.getLogger(__name__)


class ModelStore:
    """Keeps models loaded and leases them to requests."""

    def __init__(
        self,
        repository: Repository,
        load: Callable[[Package], Engine],
        batching: BatchingOptions,
        *,
        eager: Literal["latest", "all"] = "latest",
        default: str | None = None,
        fallback: Repository | None = None,
    ) -> None:
        """Follow `repository`. Until it holds a model, use `fallback` if given."""
        self._preferred, self._load, self._batching = repository, load, batching
        self._repository = fallback or repository
        self._eager, self._default = eager, default
        self.catalog: Catalog | None = None
        self._routes: dict[str, Package] = {}
        self._models: dict[Package, LoadedModel] = {}
        self._loading: dict[Package, asyncio.Task[None]] = {}
        self._failed: dict[Package, str] = {}
        self._pinned: set[Package] = set()
        self._unloading: set[asyncio.Task[None]] = set()
        self._refreshed = False

    async def watch(self, interval: float) -> None:
        """Refresh every `interval` seconds until cancelled. An unreadable repository changes nothing."""
        last_error = ""
        while True:
            try:
                await self.refresh()
                last_error = ""
            except Exception as error:
                if str(error) != last_error:  # log once, not at every interval
                    unexpected = not isinstance(error, LineageError)
                    LOG.error("models are neither loaded nor unloaded: %s", error, exc_info=unexpected)
                last_error = str(error)
            await asyncio.sleep(interval)

    async def refresh(self) -> None:
        """Read the repository once: load new models, swap versions, unload what is no longer used.

        Raises:
            PackageError: the repository cannot be read; the loaded models stay in service.
        """
        await asyncio.to_thread(self._select_repository)
        if self._models and not self._repository.root.is_dir():  # a lost mount must not unload the models
            raise PackageError(f"the model repository {self._repository.root} is gone")
        previous, self.catalog = self.catalog, await asyncio.to_thread(read_catalog, self._repository)
        self._log_changes(previous, self.catalog)
        self._routes = self._resolve_references(self.catalog)
        for package in self._wanted(self.catalog):
            await self._ensure_loaded(package)
        self._routes = self._resolve_references(self.catalog)
        self._unload_except(self._kept(self.catalog))
        self._refreshed = True

    def _select_repository(self) -> None:
        """Switch from the fallback to the preferred repository once that holds a model."""
        if self._repository is not self._preferred and self._preferred.names():
            self._repository = self._preferred
            LOG.info("serving the models in %s", self._repository.root)
        elif self._repository is not self._preferred and self.catalog is None:
            LOG.info("no model in %s yet: serving the bundled model", self._preferred.root)

    @asynccontextmanager
    async def lease(self, reference: str | None, deadline: float) -> AsyncIterator[LoadedModel]:
        """Yield the model of `name[@version|@alias]`, loading it first if needed. It stays loaded inside the block.

        None means the default model. `deadline`, in event loop time, limits the loading.

        Raises:
            PackageNotFound: no such model, version or alias.
            PackageError: the package is damaged or its engine failed to load.
            QueryError: no reference was given and there is no default model.
            NotReady: the repository or the model is still loading.
        """
        if self.catalog is None:
            raise NotReady("the model repository is being read; try again")
        package = await self._find(reference or self._default_reference())
        try:
            async with asyncio.timeout_at(deadline):
                await self._ensure_loaded(package)
        except TimeoutError as error:
            raise NotReady(f"{package.reference} is still loading; try again") from error
        if package in self._failed:
            raise PackageError(self._failed[package])
        if package not in self._models:
            raise NotReady(f"{package.reference} has just been unloaded; try again")
        model = self._models[package]
        with model.in_use():
            yield model

    def state(self, package: Package) -> PackageState:
        """Return whether a package is loaded, loading, failed, or only available on disk."""
        if package in self._models:
            return "loaded"
        if package in self._failed:
            return "failed"
        return "loading" if package in self._loading else "available"

    def missing(self) -> list[str]:
        """List what must happen before the service is ready. Empty if it is ready."""
        if self.catalog is None:
            return ["the model repository is being read"]
        has_model = any(package in self._models for package in self._routes.values())
        if has_model and self._refreshed:
            return []
        waiting = [p for p in self._wanted(self.catalog) if self.state(p) in ("loading", "available")]
        if waiting or has_model:
            return [f"{package.reference} is loading" for package in waiting]
        return self.problems() or [self._empty_message()]

    def problems(self, name: str | None = None) -> list[str]:
        """List what cannot be used and why, for one model or for all."""
        damaged = [p.reason for p in (self.catalog or Catalog()).problems if name in (None, p.name)]
        return damaged + [reason for package, reason in self._failed.items() if name in (None, package.name)]

    async def close(self) -> None:
        """Finish the accepted images and unload all models."""
        self._unload_except(())
        await asyncio.gather(*self._unloading)

    async def _find(self, reference: str) -> Package:
        if reference in self._routes:
            return self._routes[reference]
        package = (self.catalog or Catalog()).packages.get(reference)
        if package is None:  # published since the last refresh, or unknown: the error lists the known ones
            package = await asyncio.to_thread(self._repository.resolve, reference)
        if reference == package.reference:
            self._pinned.add(package)
        return package

    def _default_reference(self) -> str:
        names = (self.catalog or Catalog()).names
        if self._default is None and len(names) != 1:
            if not names:
                raise PackageNotFound(self._empty_message())
            raise QueryError(f"model: expected one of {', '.join(names)}; got none, and there is no default model")
        return self._default or names[0]

    async def _ensure_loaded(self, package: Package) -> None:
        """Wait until the package is loaded or has failed. Concurrent callers share one load."""
        if package not in self._models and package not in self._failed:
            if package not in self._loading:
                self._loading[package] = asyncio.create_task(self._open(package))
            await asyncio.shield(self._loading[package])

    async def _open(self, package: Package) -> None:
        started = time.perf_counter()
        try:
            engine = await asyncio.to_thread(self._load, package)
            self._models[package] = LoadedModel(package, engine, self._batching)
            LOG.info("loaded %s on %s in %.2f s", package.reference, engine.device, time.perf_counter() - started)
        except LineageError as error:
            self._failed[package] = str(error)
            LOG.error("refused %s: %s", package.reference, error)
        except Exception as error:
            reason = f"cannot be loaded ({type(error).__name__}); see the server's log"
            self._failed[package] = f"{package.reference}: {reason}"
            LOG.exception("failed to load %s", package.reference)
        finally:
            del self._loading[package]

    def _resolve_references(self, catalog: Catalog) -> dict[str, Package]:
        """Return the package to serve for each moving reference: the old one until the new one is loaded."""
        usable = set(catalog.packages.values())

        def select(old: Package | None, new: Package | None) -> Package | None:
            if new is None:  # damaged or removed
                return old if old in usable else None
            return old if old in self._models and new not in self._models else new

        references = catalog.references.keys() | self._routes.keys()
        selected = {r: select(self._routes.get(r), catalog.references.get(r)) for r in references}
        return {reference: package for reference, package in selected.items() if package}

    def _wanted(self, catalog: Catalog) -> list[Package]:
        """List the packages to load: the defaults or all, and the targets of moving references in use."""
        followed = [new for r, new in catalog.references.items() if self._routes.get(r) in self._models]
        ahead = catalog.packages.values() if self._eager == "all" else catalog.defaults
        return list(dict.fromkeys([*ahead, *followed]))

    def _kept(self, catalog: Catalog) -> set[Package]:
        self._pinned &= set(catalog.packages.values())
        return {*self._wanted(catalog), *self._routes.values(), *self._pinned}

    def _unload_except(self, kept: Iterable[Package]) -> None:
        self._failed = {package: reason for package, reason in self._failed.items() if package in kept}
        for package in self._models.keys() - set(kept):
            LOG.info("unloading %s", package.reference)
            task = asyncio.create_task(self._models.pop(package).unload())
            self._unloading.add(task)
            task.add_done_callback(self._unloading.discard)

    def _log_changes(self, previous: Catalog | None, current: Catalog) -> None:
        """Log new problems, and an empty repository at start."""
        if previous is None and not current.packages:
            LOG.warning("%s", self._empty_message())
        for problem in set(current.problems) - set(previous.problems if previous else ()):
            LOG.error("refused: %s", problem.reason)

    def _empty_message(self) -> str:
        root = self._repository.root
        return (
            f"the model repository {root} is empty; "
            f"import a model: lineage import <weights> --name <name> --repository {root}"
        )
