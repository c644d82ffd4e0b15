"""A model store with fake engines that can fail or block while loading."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import Engine, EngineOptions
from service.inference.batcher import BatchingOptions
from service.inference.loaded_model import load_verified
from service.inference.model_store import ModelStore
from service.inference.request import RequestContext
from tests.service.fake_engine import FakeEngine, open_fake_engine

PATIENCE = 30.0


class Engines:
    """Opens fake engines and records them. Versions in `broken` fail. `gate` blocks loading (of `gated`, or of all)."""

    def __init__(self) -> None:
        self.opened: dict[Package, FakeEngine] = {}
        self.broken: dict[int, Exception] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.loads = 0
        self.gated: str | None = None

    def __call__(self, package: Package, options: EngineOptions) -> FakeEngine:
        self.loads += 1
        assert self.gated not in (None, package.name) or self.gate.wait(PATIENCE)
        if package.version in self.broken:
            raise self.broken[package.version]
        self.opened[package] = open_fake_engine(package, options)
        return self.opened[package]


@pytest.fixture
def engines() -> Engines:
    return Engines()


@pytest.fixture
def store(repository: Repository, engines: Engines) -> ModelStore:
    return ModelStore(repository, engines, BatchingOptions())


def make_verifying_store(repository: Repository, default: str | None = None) -> ModelStore:
    """Return a store that checks the files of a package when it loads it, as the server does."""

    def load(package: Package, options: EngineOptions) -> Engine:
        return load_verified(open_fake_engine, options, package)

    return ModelStore(repository, load, BatchingOptions(), default=default)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


async def version(store: ModelStore, reference: str | None) -> int:
    async with store.lease(reference, RequestContext(asyncio.get_running_loop().time() + PATIENCE)) as model:
        return model.package.version
