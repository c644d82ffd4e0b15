"""The models in memory: follows the model repository, loads, warms, swaps, drains, unloads.

    store = ModelStore(Repository(path), load=open_engine, queueing=BatchingOptions())
    await store.refresh()                          # look once; `watch()` looks again and again
    async with store.lease("cars@stable") as model: ...

A reference without a number (`name`, `name@latest`, `name@alias`) moves: it means the old version until the new one is
loaded and warm. Default versions are loaded ahead (`eager="all"`: every version), others on first request. All state
belongs to the event loop; disk and engines are touched in threads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from model_zoo.contract.errors import LineageError, PackageError, PackageNotFound, QueryError
from model_zoo.contract.package import LATEST, Package, Problem, Repository
from model_zoo.runtime.base import Engine
from service.api.problems import NotReady
from service.inference.loaded_model import BatchingOptions, LoadedModel

State = Literal["loaded", "loading", "failed", "available"]
LOG = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Catalog:
    """What one look at the repository found.

    packages: every usable package by `name@number`. moving: what the references without a number mean.
    """

    packages: Mapping[str, Package] = field(default_factory=dict)
    moving: Mapping[str, Package] = field(default_factory=dict)
    aliases: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the models that have a usable package."""
        return sorted({package.name for package in self.packages.values()})

    @property
    def defaults(self) -> list[Package]:
        """What each bare name means."""
        return [self.moving[name] for name in self.names if name in self.moving]


def look(repository: Repository) -> Catalog:
    """Read the whole repository; slow, for a thread."""
    packages, problems = repository.scan()
    names = {package.name for package in packages}
    aliases = {name: _or_none(repository.aliases, name) or {} for name in names}
    references = [*names, *(f"{name}@{alias}" for name in names for alias in (LATEST, *aliases[name]))]
    meant = {reference: _or_none(repository.resolve, reference) for reference in references}
    return Catalog(
        packages={f"{package.name}@{package.version}": package for package in packages},
        moving={reference: package for reference, package in meant.items() if package},
        aliases=aliases,
        problems=tuple(problems),
    )


class ModelStore:
    """Keeps the models that are wanted loaded, and hands them out."""

    def __init__(
        self,
        repository: Repository,
        load: Callable[[Package], Engine],
        queueing: BatchingOptions,
        *,
        eager: Literal["latest", "all"] = "latest",
        default: str | None = None,
        until_then: Repository | None = None,
    ) -> None:
        """Follow `repository`; where `until_then` is given, that one, until `repository` holds a model."""
        self._awaited, self._load, self._queueing = repository, load, queueing
        self._repository = until_then or repository
        self._eager, self._default = eager, default
        self.catalog: Catalog | None = None
        self._routes: dict[str, Package] = {}
        self._models: dict[Package, LoadedModel] = {}
        self._loading: dict[Package, asyncio.Task[None]] = {}
        self._failed: dict[Package, str] = {}
        self._pinned: set[Package] = set()
        self._unloading: set[asyncio.Task[None]] = set()
        self._begun = False

    async def watch(self, every: float) -> None:
        """Refresh every so many seconds until cancelled; a repository that cannot be read changes nothing."""
        told = ""
        while True:
            try:
                await self.refresh()
                told = ""
            except Exception as error:
                if str(error) != told:  # once, not every two seconds
                    LOG.error("nothing is loaded or unloaded: %s", error, exc_info=not isinstance(error, LineageError))
                told = str(error)
            await asyncio.sleep(every)

    async def refresh(self) -> None:
        """Look at the repository once, load what is new, swap, unload what is no longer wanted."""
        await asyncio.to_thread(self._choose)
        if self._models and not self._repository.root.is_dir():  # a lost mount is no reason to unload
            raise PackageError(f"the model repository {self._repository.root} is gone")
        before, self.catalog = self.catalog, await asyncio.to_thread(look, self._repository)
        self._tell(before, self.catalog)
        self._routes = self._routed(self.catalog)
        for package in self._wanted(self.catalog):
            await self._settle(package)
        self._routes = self._routed(self.catalog)
        self._unload_except(self._kept(self.catalog))
        self._begun = True

    def _choose(self) -> None:
        """Turn to the awaited repository for good once it holds a model; say which one is used."""
        if self._repository is not self._awaited and self._awaited.names():
            self._repository = self._awaited
            LOG.info("using the models in %s", self._repository.root)
        elif self._repository is not self._awaited and self.catalog is None:
            LOG.info("no model in %s yet: using the one that comes with the service", self._awaited.root)

    @asynccontextmanager
    async def lease(self, reference: str | None, deadline: float) -> AsyncIterator[LoadedModel]:
        """Give out the model of `name[@version|@alias]`, loading it first where needed; it stays loaded meanwhile.

        None means the default model; `deadline`, in the loop's time, is for the loading. Raises PackageNotFound,
        PackageError, QueryError or NotReady.
        """
        if self.catalog is None:
            raise NotReady("the model repository is being read; try again")
        package = await self._find(reference or self._only_reference())
        try:
            async with asyncio.timeout_at(deadline):
                await self._settle(package)
        except TimeoutError as error:
            raise NotReady(f"{package.name}@{package.version} is still loading; try again") from error
        if package in self._failed:
            raise PackageError(self._failed[package])
        if package not in self._models:
            raise NotReady(f"{package.name}@{package.version} was unloaded a moment ago; try again")
        model = self._models[package]
        with model.in_use():
            yield model

    def state(self, package: Package) -> State:
        """Return where a package is in its life."""
        if package in self._models:
            return "loaded"
        if package in self._failed:
            return "failed"
        return "loading" if package in self._loading else "available"

    def missing(self) -> list[str]:
        """List what has to happen before the service can answer; empty when it is ready."""
        if self.catalog is None:
            return ["the model repository is being read"]
        answering = any(package in self._models for package in self._routes.values())
        if answering and self._begun:
            return []
        waiting = [p for p in self._wanted(self.catalog) if self.state(p) in ("loading", "available")]
        if waiting or answering:
            return [f"{package.name}@{package.version} is loading" for package in waiting]
        return self.problems() or [self._how_to_begin()]

    def problems(self, name: str | None = None) -> list[str]:
        """List what cannot be used and why, of one model or of all."""
        damaged = [p.reason for p in (self.catalog or Catalog()).problems if name in (None, p.name)]
        return damaged + [reason for package, reason in self._failed.items() if name in (None, package.name)]

    async def close(self) -> None:
        """Answer what was accepted and unload everything."""
        self._unload_except(())
        await asyncio.gather(*self._unloading)

    async def _find(self, reference: str) -> Package:
        if reference in self._routes:
            return self._routes[reference]
        package = (self.catalog or Catalog()).packages.get(reference)
        if package is None:  # says well what there is, or finds what was published a moment ago
            package = await asyncio.to_thread(self._repository.resolve, reference)
        if reference == f"{package.name}@{package.version}":
            self._pinned.add(package)
        return package

    def _only_reference(self) -> str:
        names = (self.catalog or Catalog()).names
        if self._default is None and len(names) != 1:
            if not names:
                raise PackageNotFound(self._how_to_begin())
            raise QueryError(f"model: expected one of {', '.join(names)}; got none, and there is no default model")
        return self._default or names[0]

    async def _settle(self, package: Package) -> None:
        """Wait until the package is loaded or has failed; those who come meanwhile share one load."""
        if package not in self._models and package not in self._failed:
            if package not in self._loading:
                self._loading[package] = asyncio.create_task(self._open(package))
            await asyncio.shield(self._loading[package])

    async def _open(self, package: Package) -> None:
        label, began = f"{package.name}@{package.version}", time.perf_counter()
        try:
            engine = await asyncio.to_thread(self._load, package)
            self._models[package] = LoadedModel(package, engine, self._queueing)
            LOG.info("loaded %s on %s in %.2f s", label, engine.device, time.perf_counter() - began)
        except LineageError as error:
            self._failed[package] = str(error)
            LOG.error("refused %s: %s", label, error)
        except Exception as error:
            self._failed[package] = f"{label}: cannot be loaded ({type(error).__name__}); the server's log tells more"
            LOG.exception("failed to load %s", label)
        finally:
            del self._loading[package]

    def _routed(self, catalog: Catalog) -> dict[str, Package]:
        """Return what moving references mean now: the old package until the new one is loaded."""
        there = set(catalog.packages.values())

        def choose(old: Package | None, new: Package | None) -> Package | None:
            if new is None:  # damaged or gone
                return old if old in there else None
            return old if old in self._models and new not in self._models else new

        references = catalog.moving.keys() | self._routes.keys()
        chosen = {r: choose(self._routes.get(r), catalog.moving.get(r)) for r in references}
        return {reference: package for reference, package in chosen.items() if package}

    def _wanted(self, catalog: Catalog) -> list[Package]:
        """List what should be loaded: the defaults or all, and what moving references in use mean now."""
        followed = [new for r, new in catalog.moving.items() if self._routes.get(r) in self._models]
        ahead = catalog.packages.values() if self._eager == "all" else catalog.defaults
        return list(dict.fromkeys([*ahead, *followed]))

    def _kept(self, catalog: Catalog) -> set[Package]:
        self._pinned &= set(catalog.packages.values())
        return {*self._wanted(catalog), *self._routes.values(), *self._pinned}

    def _unload_except(self, kept: Iterable[Package]) -> None:
        self._failed = {package: reason for package, reason in self._failed.items() if package in kept}
        for package in self._models.keys() - set(kept):
            LOG.info("unloading %s@%d", package.name, package.version)
            task = asyncio.create_task(self._models.pop(package).unload())
            self._unloading.add(task)
            task.add_done_callback(self._unloading.discard)

    def _tell(self, before: Catalog | None, now: Catalog) -> None:
        """Log what is wrong, once."""
        if before is None and not now.packages:
            LOG.warning("%s", self._how_to_begin())
        for problem in set(now.problems) - set(before.problems if before else ()):
            LOG.error("refused: %s", problem.reason)

    def _how_to_begin(self) -> str:
        root = self._repository.root
        return (
            f"the model repository {root} is empty; "
            f"put a model there: lineage import <weights> --name <name> --repository {root}"
        )


def _or_none(read: Callable[[str], T], key: str) -> T | None:
    """Read what may be damaged; `scan` tells the reason."""
    try:
        return read(key)
    except PackageError:
        return None
