"""The models in memory: follows a model repository, loads new versions, swaps and unloads.

    store = ModelStore(Repository(path), load=load_engine, batching=BatchingOptions())
    await store.refresh()                          # read the repository once; `watch()` repeats it
    async with store.lease("cars@stable") as model: ...

References without a version (`name`, `name@latest`, `name@alias`) switch to a new version once it is loaded and warm.
Default versions are loaded ahead (`eager="all"`: all versions), others on first request. A failed load is tried again,
and meanwhile another version answers (see `routes`). All state belongs to the event loop; disk and engines are accessed
in threads.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal

from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import EngineOptions, OpenEngine
from model_zoo.runtime.open import DEFAULT_OPTIONS
from service.inference.batcher import BatchingOptions
from service.inference.bundled import holds_model, is_bundled
from service.inference.catalog import Catalog, read_catalog
from service.inference.default_model import DefaultModel
from service.inference.errors import NotReady
from service.inference.failures import Failure, ReasonLog, fingerprints
from service.inference.loaded_model import LoadedModel
from service.inference.loader import Loader
from service.inference.model_settings import ModelSettings, read_settings
from service.inference.request import RequestContext
from service.inference.rollout import Rollouts, read_policies
from service.inference.routes import Routes
from service.inference.serving_record import ServingRecord, make_record, read_record, write_record
from service.telemetry.metrics import Metrics

PackageState = Literal["loaded", "loading", "failed", "unloaded", "available"]
LOG = logging.getLogger(__name__)


class ModelStore:
    """Keeps models loaded and leases them to requests."""

    def __init__(
        self,
        repository: Repository,
        load: OpenEngine,
        batching: BatchingOptions,
        *,
        options: EngineOptions = DEFAULT_OPTIONS,
        eager: Literal["latest", "all"] = "latest",
        default: str | None = None,
        fallback: Repository | None = None,
        metrics: Metrics | None = None,
        memory: int | None = None,
        max_waiters: int = 64,
    ) -> None:
        """Follow `repository`. Until it holds a model, use `fallback` if given.

        `options` and `batching` are those of models without settings of their own. `memory` limits the bytes of all
        loaded models, and `max_waiters` the requests that wait for loads.
        """
        self._preferred = repository
        self._repository = fallback or repository
        self._eager, self.default = eager, DefaultModel(default)
        self.catalog: Catalog | None = None
        self._logged = ReasonLog()
        self._loader = Loader(
            load, options, batching, self._logged, metrics or Metrics(), memory=memory, max_waiters=max_waiters
        )
        self._models, self._failed = self._loader.models, self._loader.failed
        self._routes = Routes(self._models, self._failed)
        self.rollouts = Rollouts(self._models, self._failed)
        self._pinned: set[Package] = set()
        self._reading = asyncio.Lock()
        self._record: ServingRecord | None = None
        self._unwritten: str | None = None
        self._unreadable: str | None = "the model repository is being read"
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
        async with self._reading:
            try:
                self.catalog = await self._read_repository()
            except Exception as error:
                known = isinstance(error, LineageError)
                self._unreadable = str(error) if known else "the model repository cannot be read; see the server's log"
                raise
        self._unreadable = None
        await self._load_wanted()
        unused = self._models.keys() - self._kept(self.catalog)
        self._loader.start_unload(unused, "unused")
        self._refreshed = True
        self._log_problems(self.catalog)
        await asyncio.to_thread(self._remember)

    async def _read_repository(self) -> Catalog:
        await asyncio.to_thread(self._select_repository)
        root = self._repository.root
        if self._models and not os.path.isdir(root):  # a lost mount must not unload the models
            raise PackageError(f"the model repository {root} is gone")
        catalog = await asyncio.to_thread(read_catalog, self._repository)
        if self._models and catalog.is_unmounted(self.known):
            raise PackageError(f"the model repository {root} is empty and another folder than before: is it unmounted?")
        packages = catalog.packages.values()
        self._loader.follow(*await asyncio.to_thread(read_settings, packages, self._loader.settings))
        catalog = self.rollouts.update(catalog, await asyncio.to_thread(read_policies, self._repository, catalog))
        if self._record is None:
            self._record = await asyncio.to_thread(read_record, root)
            self.default.recorded, self._routes.served = self._record.default_model, self._record.packages(catalog)
        self._failed.check_files(await asyncio.to_thread(fingerprints, list(self._failed)))
        self.default.update(catalog, await asyncio.to_thread(self.default.check, catalog, self._repository))
        return catalog

    async def _load_wanted(self) -> None:
        """Load the wanted packages. If one fails, the package that answers instead is wanted, too.

        Where memory is limited, only new versions of loaded models displace others.
        """
        tried: set[Package] = set()
        self._resolve()
        while pending := [p for p in self._wanted(self.known) if self._loader.needs_load(p) and p not in tried]:
            tried.add(pending[0])
            await self._loader.load(pending[0], "evict" if pending[0] in self._followed(self.known) else "free")
            self._resolve()
        for package in list(self._models):
            await self._loader.reload(package)

    def _select_repository(self) -> None:
        """Switch from the fallback to the preferred repository once that holds a model."""
        if self._repository is not self._preferred and holds_model(self._preferred):
            self._repository, self._record = self._preferred, None
            LOG.info("serving the models in %s", self._repository.root)
        elif self._repository is not self._preferred and self.catalog is None:
            LOG.info("no model in %s yet: serving the bundled model", self._preferred.root)

    @asynccontextmanager
    async def lease(self, reference: str | None, context: RequestContext) -> AsyncIterator[LoadedModel]:
        """Yield the model of `name[@version|@alias]`, loading it first if needed. It stays loaded inside the block.

        None means the default model. The deadline of the request limits the loading.

        Raises:
            PackageNotFound: no such model, version or alias.
            PackageError: the package is damaged or its engine failed to load.
            QueryError: no reference was given and there is no default model.
            NotReady: the repository or the model is still loading, or there is no memory for it.
            LoadQueueFull: too many requests wait for models to load.
        """
        if self.catalog is None:
            raise NotReady(f"{self._unreadable}; try again")
        reference = reference or self.default.reference(self._repository.empty_message)
        package = self.rollouts.canary(reference, context) or await self._load_reference(reference, context.deadline)
        if reason := self._failed.reason(package):
            raise PackageError(reason)
        if package not in self._models:
            raise NotReady(f"{package.reference} has just been unloaded; try again")
        model = self._loader.use(package)
        try:
            with model.in_use():
                yield model
        finally:
            self._loader.residency.notify()

    async def load(self, reference: str, context: RequestContext) -> Package:
        """Load a model now, also after `unload` or a failed load, and return the version that answers.

        Raises:
            LineageError: as `lease`.
            NotReady: as `lease`.
        """
        package = await self._find(reference)
        self._failed.release(package.reference if "@" in reference else package.name)
        self._resolve()
        async with self.lease(reference, context) as model:
            self._resolve()
            return model.package

    async def unload(self, reference: str) -> list[Package]:
        """Unload a version, or all versions of a bare name, and return them once no request uses them.

        They stay unloaded until `load` or a restart of the server. Requests for them get PackageError, or an older
        version where the reference may fall back.

        Raises:
            PackageNotFound: no such model, version or alias.
        """
        package = await self._find(reference)
        self._failed.stop(package.reference if "@" in reference else package.name)
        self._resolve()
        await self._loader.finish(filter(self._failed.is_stopped, list(self._loader.loading)))
        stopped = [loaded for loaded in self._models if self._failed.is_stopped(loaded)]
        await self._loader.unload(stopped, "operator")
        self._resolve()
        self.rollouts.on_update()
        return stopped

    @property
    def repository(self) -> Repository:
        """The repository in use."""
        return self._repository

    @property
    def loaded(self) -> Mapping[Package, LoadedModel]:
        """The loaded models."""
        return self._models

    @property
    def settings(self) -> Mapping[Package, ModelSettings]:
        """The settings of each package that the repository asks for."""
        return self._loader.settings

    @property
    def memory_used(self) -> int:
        """Estimated bytes of the models in memory."""
        return self._loader.residency.used

    def state(self, package: Package) -> PackageState:
        """Return whether a package is loaded, loading, failed, unloaded by an operator, or only available on disk."""
        if package in self._models:
            return "loaded"
        if self._failed.is_stopped(package):
            return "unloaded"
        if package in self._loader.loading:
            return "loading"
        return "failed" if package in self._failed else "available"

    def failure(self, package: Package) -> Failure | None:
        """Return the failed load of a package that is not loaded."""
        return self._failed.get(package)

    def serving(self, name: str) -> Package | None:
        """Return the version that answers for the bare name of a model."""
        return self._routes.current.get(name)

    def missing(self) -> list[str]:
        """List what must happen before the service is ready. Empty if it is ready."""
        if self.catalog is None:
            return [str(self._unreadable)]
        usable = ("loaded", "available") if self._refreshed else ("loaded",)
        has_model = any(self.state(package) in usable for package in self._routes.current.values())
        if has_model and self._refreshed:
            return [self.default.problem] if self.default.problem and not self.default.was_found else []
        waiting = [p for p in self._wanted(self.catalog) if self.state(p) in ("loading", "available")]
        if waiting or has_model:
            return [f"{package.reference} is loading" for package in waiting]
        return self.problems() or [self._repository.empty_message()]

    def problems(self, name: str | None = None) -> list[str]:
        """List what cannot be used and why, for one model or for all."""
        damaged = [p.reason for p in self.known.problems if name in (None, p.name)]
        packages = [p for p in self.known.packages.values() if name in (None, p.name)]
        return (
            damaged
            + self._loader.unfollowed(name)
            + [reason for package in packages if (reason := self._failed.reason(package))]
        )

    def engine_problems(self) -> list[str]:
        """List why engines of loaded models cannot run, after a second failure in a row."""
        return [model.problem for model in self._models.values() if model.problem]

    def degraded(self, name: str | None = None) -> list[str]:
        """List the references and settings that cannot be followed, for one model or for all."""
        lines = [str(d) for d in self._routes.degraded(self.known) if name in (None, d.name)]
        lines += [str(u) for u in self.rollouts.unfollowed() if name in (None, u.name)]
        lines += self._loader.unfollowed(name)
        general = [self.default.problem, self._unreadable, self._unwritten] if name is None and self.catalog else []
        return [*lines, *(text for text in general if text and text not in self.missing())]

    async def close(self) -> None:
        """Finish the accepted images and unload all models."""
        await self._loader.close()

    @property
    def known(self) -> Catalog:
        """The catalog, empty until the repository has been read."""
        return self.catalog or Catalog()

    def _resolve(self) -> None:
        self._routes.resolve(self.known)
        default = self._routes.current.get(self.default.name or "")
        self._loader.residency.protected = [default] if default else []

    async def _load_reference(self, reference: str, deadline: float) -> Package:
        """Load the package of a reference. If that fails, load the one that answers instead."""
        tried: set[Package] = set()
        while (package := await self._find(reference)) not in tried:
            tried.add(package)
            await self._loader.request(package, deadline)
            if package in self._failed:
                self._resolve()
        return package

    async def _find(self, reference: str) -> Package:
        if reference in self._routes.current:
            return self._routes.current[reference]
        package = self.known.packages.get(reference)
        if package is None:  # published since the last refresh, or unknown: the error lists the known ones
            package = await asyncio.to_thread(self._repository.resolve, reference)
        if reference == package.reference:
            self._pinned.add(package)
        return package

    def _wanted(self, catalog: Catalog) -> list[Package]:
        """List the packages to load: the defaults or all, and the targets of moving references in use."""
        current = self._routes.current
        ahead = list(catalog.packages.values() if self._eager == "all" else catalog.defaults)
        if self.default.name in current:
            ahead.insert(0, current[self.default.name])
        answering = [current[name] for name in catalog.all_names if name in current]
        return list(dict.fromkeys([*ahead, *self.rollouts.canaries(), *self._followed(catalog), *answering]))

    def _followed(self, catalog: Catalog) -> list[Package]:
        """List the targets of the moving references for which a loaded package answers."""
        return [new for r, new in catalog.references.items() if self._routes.current.get(r) in self._models]

    def _kept(self, catalog: Catalog) -> set[Package]:
        self._pinned &= set(catalog.packages.values())
        return {*self._wanted(catalog), *self._routes.current.values(), *self._pinned}

    def _log_problems(self, catalog: Catalog) -> None:
        """Log each new problem once."""
        self._failed.keep(catalog.packages.values(), catalog.all_references)
        damaged = [(f"{p.name}@{p.version}", f"refused: {p.reason}", logging.ERROR) for p in catalog.problems]
        degraded = [
            (d.reference, f"{d.reference}: {d.answer}", logging.WARNING) for d in self._routes.degraded(catalog)
        ]
        settings = [("settings", reason, logging.WARNING) for reason in self._loader.unfollowed()]
        rollouts = [(u.subject, str(u), logging.WARNING) for u in self.rollouts.unfollowed()]
        foreign = [("foreign", f"skipped folders without a package: {', '.join(catalog.foreign)}", logging.INFO)]
        empty = [] if catalog.packages else [("", self._repository.empty_message(), logging.WARNING)]
        found = [*damaged, *degraded, *settings, *rollouts, *(foreign if catalog.foreign else []), *empty]
        for subject, reason, level in found:
            if self._logged.is_new(subject, reason):
                LOG.log(level, "%s", reason)
        self._logged.keep({*(subject for subject, _, _ in found), *(package.reference for package in self._failed)})

    def _remember(self) -> None:
        """Write what a restart must know, if it has changed. The bundled repository stays as it is."""
        record = make_record(self.default.recorded, self._routes.served)
        if record != self._record and not is_bundled(self._repository) and os.path.isdir(self._repository.root):
            unwritten = write_record(self._repository.root, record)
            if unwritten and unwritten != self._unwritten:  # log once, not at every check
                LOG.warning("%s", unwritten)
            self._unwritten = unwritten
        self._record = self._record if self._unwritten else record  # tried again at the next check
