"""Models are loaded and unloaded as an operator asks."""

from __future__ import annotations

import asyncio

import pytest

from model_zoo.contract.errors import PackageError, PackageNotFound
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.inference import loader
from service.inference.errors import NotReady
from service.inference.model_store import ModelStore
from service.inference.request import RequestContext
from tests.service.app_client import wait_until
from tests.service.conftest import Publish
from tests.service.store_engines import PATIENCE, Engines, engines, run, store, version

__all__ = ["engines", "store"]


def context(seconds: float = PATIENCE) -> RequestContext:
    return RequestContext(asyncio.get_running_loop().time() + seconds)


def test_unloaded_model_stays_unloaded_until_it_is_loaded(
    store: ModelStore, publish: Publish, engines: Engines
) -> None:
    old, new = publish(), publish()
    publish("other")

    async def test() -> None:
        await store.refresh()
        await version(store, "toy@1")
        assert set(await store.unload("toy")) == {old, new}
        assert engines.opened[old].closed
        assert engines.opened[new].closed
        newest = publish()
        await store.refresh()
        for reference in ("toy", "toy@1", "toy@latest", "toy@3"):
            with pytest.raises(PackageError, match=r"operator unloaded .* POST /admin/models/toy/load"):
                await version(store, reference)
        assert {store.state(package) for package in (old, new, newest)} == {"unloaded"}
        assert await version(store, "other") == 1
        assert store.missing() == []
        assert "operator" in store.degraded("toy")[0]
        assert "operator" in store.problems("toy")[0]
        assert await store.load("toy", context()) == newest
        await store.refresh()
        assert await version(store, "toy") == 3
        assert store.problems() == store.degraded() == []
        await store.close()

    run(test)


def test_older_version_answers_for_an_unloaded_one(store: ModelStore, repository: Repository, publish: Publish) -> None:
    publish(), publish()
    repository.set_alias("toy", "best", 2)

    async def test() -> None:
        await store.refresh()
        [unloaded] = await store.unload("toy@best")
        await store.refresh()
        assert await version(store, "toy") == 1
        assert store.degraded()[0].startswith("toy: serving version 1 instead of 2, because an operator unloaded toy@2")
        with pytest.raises(PackageError, match="toy@2"):
            await version(store, "toy@best")
        assert await store.load("toy@2", context()) == unloaded
        assert await version(store, "toy") == await version(store, "toy@best") == 2
        await store.close()

    run(test)


def test_one_version_of_an_unloaded_model_can_be_loaded(store: ModelStore, publish: Publish) -> None:
    publish(), publish()

    async def test() -> None:
        await store.refresh()
        await store.unload("toy")
        assert (await store.load("toy@1", context())).version == 1
        await store.refresh()
        assert await version(store, "toy") == 1
        with pytest.raises(PackageError, match="toy@2"):
            await version(store, "toy@2")
        await store.close()

    run(test)


def test_unload_waits_for_loads_and_users(store: ModelStore, publish: Publish, engines: Engines) -> None:
    package = publish()

    async def test() -> None:
        await store.refresh()
        async with store.lease("toy", context()):
            unloading = asyncio.create_task(store.unload("toy"))
            await asyncio.sleep(0.02)
            assert not unloading.done()
            assert not engines.opened[package].closed
        assert await unloading == [package]
        engines.gate.clear()
        loading = asyncio.create_task(store.load("toy", context()))
        while engines.loads < 2:
            await asyncio.sleep(0.005)
        unloading = asyncio.create_task(store.unload("toy"))
        await asyncio.sleep(0.02)
        assert not unloading.done()
        engines.gate.set()
        assert await unloading == [package]
        with pytest.raises(PackageError, match="operator unloaded"):
            await loading
        await store.close()

    run(test)


def test_cancelled_unload_goes_through(store: ModelStore, publish: Publish, engines: Engines) -> None:
    package = publish()

    async def test() -> None:
        await store.refresh()
        async with store.lease("toy", context()):
            unloading = asyncio.create_task(store.unload("toy"))
            await asyncio.sleep(0.01)
            unloading.cancel()
        await store.close()
        assert engines.opened[package].closed

    run(test)


def test_load_tries_a_failed_version_at_once(store: ModelStore, publish: Publish, engines: Engines) -> None:
    publish()
    engines.broken = {1: PackageError("toy@1: stale file handle")}

    async def test() -> None:
        await store.refresh()
        with pytest.raises(PackageError, match="stale file handle"):
            await store.load("toy", context())
        assert engines.loads == 2
        engines.broken = {}
        assert (await store.load("toy", context())).version == 1
        await store.close()

    run(test)


@pytest.mark.parametrize("reference", ["none", "toy@9", "toy@none"])
def test_unknown_references_are_refused(store: ModelStore, publish: Publish, reference: str) -> None:
    publish()

    async def test() -> None:
        await store.refresh()
        with pytest.raises(PackageNotFound):
            await store.unload(reference)
        with pytest.raises(PackageNotFound):
            await store.load(reference, context())
        assert await version(store, "toy") == 1
        await store.close()

    run(test)


def test_load_stops_at_the_deadline(store: ModelStore, publish: Publish, engines: Engines) -> None:
    publish()

    async def test() -> None:
        await store.refresh()
        await store.unload("toy")
        engines.gate.clear()
        with pytest.raises(NotReady, match="still loading"):
            await store.load("toy", context(0.02))
        engines.gate.set()
        assert await version(store, "toy") == 1
        await store.close()

    run(test)


def test_decision_is_forgotten_with_the_version(store: ModelStore, repository: Repository, publish: Publish) -> None:
    publish()
    again: Package = publish()

    async def test() -> None:
        await store.refresh()
        await store.unload("toy@2")
        repository.remove("toy", 2)
        await store.refresh()
        assert publish() == again
        await store.refresh()
        assert await version(store, "toy@2") == 2
        await store.close()

    run(test)


def test_hung_load_fails_in_time_and_is_closed_when_it_returns(
    store: ModelStore, publish: Publish, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = publish()
    engines.gate.clear()
    monkeypatch.setattr(loader, "LOAD_SECONDS", 0.05)

    async def test() -> None:
        await store.refresh()
        assert "toy@1: its engine hangs while loading" in store.problems()[0]
        assert store.memory_used == 0
        await store.close()

    run(test)
    engines.gate.set()
    wait_until(lambda: package in engines.opened and engines.opened[package].closed)


def test_hung_load_does_not_keep_the_server_from_ending(
    store: ModelStore, publish: Publish, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("other"), publish()
    engines.gated = "toy"
    engines.gate.clear()
    monkeypatch.setattr(loader, "CLOSE_SECONDS", 0.05)

    async def test() -> None:
        refresh = asyncio.create_task(store.refresh())
        while engines.loads < 2:
            await asyncio.sleep(0.001)
        refresh.cancel()
        await store.close()
        assert (store.memory_used, dict(store.loaded)) == (0, {})

    run(test)  # asyncio.run joins the threads of its executor
    engines.gate.set()
