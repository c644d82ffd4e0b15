"""Models share a memory budget: the least recently used ones make way for others."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.runtime import select
from model_zoo.runtime.base import EngineOptions
from service.inference.batcher import BatchingOptions
from service.inference.errors import LoadQueueFull, NotReady
from service.inference.model_store import ModelStore
from service.inference.request import RequestContext
from service.inference.residency import FIXED, OPENVINO_WORKER, model_bytes
from tests.service.conftest import Publish
from tests.service.store_engines import PATIENCE, Engines, engines, run, version

__all__ = ["engines"]

SIZE = FIXED + 100_000  # a bit more than a fake model


def make_store(
    repository: Repository, engines: Engines, models: int, default: str | None = None, waiters: int = 64
) -> ModelStore:
    """Return a store with memory for some models."""
    return ModelStore(
        repository, engines, BatchingOptions(), default=default, memory=models * SIZE, max_waiters=waiters
    )


def context(seconds: float = PATIENCE) -> RequestContext:
    return RequestContext(asyncio.get_running_loop().time() + seconds)


def loaded(store: ModelStore) -> list[str]:
    return sorted(package.reference for package in store.loaded)


def test_size_depends_on_the_largest_file(publish: Publish) -> None:
    package = publish(contents=bytes(2_000_000))
    assert model_bytes(package, EngineOptions()) == 5_000_000 + FIXED
    assert model_bytes(package, EngineOptions(shapes="buckets")) == 5_000_000 + FIXED


def test_every_canvas_takes_memory_on_other_providers_than_the_cpu(publish: Publish) -> None:
    package = publish(contents=bytes(2_000_000))
    square, buckets = (EngineOptions(provider="openvino", shapes=shapes, workers=2) for shapes in ("square", "buckets"))
    canvas = 5_000_000 + FIXED + 2 * OPENVINO_WORKER
    assert model_bytes(package, square) == canvas
    assert model_bytes(package, buckets) == len(buckets.canvases(package.card)) * canvas
    cuda = replace(buckets, provider="cuda")
    assert model_bytes(package, cuda) == len(buckets.canvases(package.card)) * (5_000_000 + FIXED)


def test_provider_that_may_be_chosen_counts(publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    package = publish(contents=bytes(2_000_000))
    monkeypatch.setattr(select, "has_openvino", lambda: True)
    monkeypatch.setenv("LINEAGE_MEASURE", "1")
    assert model_bytes(package, EngineOptions(workers=1)) == 5_000_000 + FIXED + OPENVINO_WORKER
    monkeypatch.setenv("LINEAGE_MEASURE", "0")
    assert model_bytes(package, EngineOptions()) == 5_000_000 + FIXED


def test_startup_loads_what_fits_and_the_default_first(
    repository: Repository, publish: Publish, engines: Engines
) -> None:
    for name in ("a", "b", "c", "d"):
        publish(name)
    store = make_store(repository, engines, 2, default="c")

    async def test() -> None:
        for _ in range(3):
            await store.refresh()
            assert loaded(store) == ["a@1", "c@1"]
        assert engines.loads == 2
        assert store.missing() == store.degraded() == []
        await store.close()
        assert store.memory_used == 0

    run(test)


def test_least_recently_used_model_makes_way(repository: Repository, publish: Publish, engines: Engines) -> None:
    packages = {name: publish(name) for name in ("a", "b", "c", "d")}
    store = make_store(repository, engines, 3)

    async def test() -> None:
        await store.refresh()
        assert [await version(store, name) for name in ("b", "a", "c", "d")] == [1] * 4
        assert loaded(store) == ["a@1", "c@1", "d@1"]
        assert engines.opened[packages["b"]].closed
        assert store.state(packages["b"]) == "available"
        await store.refresh()
        assert loaded(store) == ["a@1", "c@1", "d@1"]
        assert await version(store, "b") == 1
        assert loaded(store) == ["b@1", "c@1", "d@1"]
        assert store.missing() == []
        await store.close()

    run(test)


def test_default_model_makes_way_last(repository: Repository, publish: Publish, engines: Engines) -> None:
    for name in ("a", "b", "c"):
        publish(name)
    store = make_store(repository, engines, 2, default="a")

    async def test() -> None:
        await store.refresh()
        await version(store, "b")
        await version(store, "c")
        assert loaded(store) == ["a@1", "c@1"]
        async with store.lease("c", context()):
            await version(store, "b")
        assert loaded(store) == ["b@1", "c@1"]
        await store.close()

    run(test)


def test_model_in_use_is_never_unloaded_and_requests_wait(
    repository: Repository, publish: Publish, engines: Engines
) -> None:
    used: Package = publish("a")
    publish("b")
    store = make_store(repository, engines, 1)

    async def test() -> None:
        await store.refresh()
        async with store.lease("a", context()):
            with pytest.raises(NotReady, match=r"b@1 waits for memory: .* of 16.1 MiB \(model_memory\); try again"):
                async with store.lease("b", context(0.05)):
                    pass
            waiting = asyncio.create_task(version(store, "b"))
            await asyncio.sleep(0.02)
            await store.refresh()  # does not wait behind the request
            assert not waiting.done()
            assert not engines.opened[used].closed
            assert await version(store, "a") == 1, "the loaded model answers meanwhile"
        assert await waiting == 1
        assert engines.opened[used].closed
        await store.close()

    run(test)


def test_concurrent_requests_for_more_models_than_fit_are_all_answered(
    repository: Repository, publish: Publish, engines: Engines
) -> None:
    names = [f"m{i}" for i in range(5)]
    for name in names:
        publish(name)
    store = make_store(repository, engines, 2)

    async def test() -> None:
        await store.refresh()
        peak = 0

        async def request(name: str) -> None:
            nonlocal peak
            async with store.lease(name, context()):
                peak = max(peak, store.memory_used)
                await asyncio.sleep(0)

        await asyncio.gather(*(request(name) for _ in range(8) for name in names))
        assert 0 < peak <= 2 * SIZE
        await store.close()
        assert store.memory_used == 0

    run(test)


def test_new_version_displaces_idle_models(repository: Repository, publish: Publish, engines: Engines) -> None:
    publish("a"), publish("b")
    store = make_store(repository, engines, 2)

    async def test() -> None:
        await store.refresh()
        publish("a")
        await store.refresh()
        assert await version(store, "a") == 2
        await store.refresh()
        assert loaded(store) in (["a@2"], ["a@2", "b@1"])
        await store.close()

    run(test)


def test_new_version_without_memory_leaves_the_old_one_in_service(
    repository: Repository, publish: Publish, engines: Engines
) -> None:
    publish("a")
    store = make_store(repository, engines, 1)

    async def test() -> None:
        await store.refresh()
        async with store.lease("a", context()):
            publish("a")
            await store.refresh()
            assert await version(store, "a") == 1
            assert "a@2 waits for memory" in store.degraded("a")[0]
        await store.refresh()
        assert await version(store, "a") == 2
        assert store.degraded() == []
        await store.close()

    run(test)


def test_version_that_is_no_longer_wanted_waits_for_no_memory(
    repository: Repository, publish: Publish, engines: Engines
) -> None:
    publish("a")
    store = make_store(repository, engines, 1)

    async def test() -> None:
        await store.refresh()
        async with store.lease("a", context()):
            publish("a")
            await store.refresh()
            assert "a@2 waits for memory" in store.degraded("a")[0]
        await store.unload("a")
        await store.refresh()
        assert "waits for memory" not in str(store.degraded())
        await store.close()

    run(test)


def test_model_larger_than_the_budget_is_refused(repository: Repository, publish: Publish, engines: Engines) -> None:
    publish("small")
    publish("big", contents=bytes(3_000_000))
    store = make_store(repository, engines, 1)

    async def test() -> None:
        await store.refresh()
        with pytest.raises(PackageError, match=r"big@1: expected a model of at most 16\.1 MiB \(model_memory\); got"):
            await version(store, "big")
        assert loaded(store) == ["small@1"]
        assert store.missing() == []
        await store.close()

    run(test)


def test_requests_beyond_the_limit_of_waiters_are_refused(
    repository: Repository, publish: Publish, engines: Engines
) -> None:
    publish(), publish()
    store = make_store(repository, engines, 2, waiters=2)

    async def test() -> None:
        await store.refresh()
        engines.gate.clear()
        waiting = [asyncio.create_task(version(store, "toy@1")) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(LoadQueueFull, match="2 requests are already waiting for models to load"):
            await version(store, "toy@1")
        assert await version(store, "toy") == 2, "loaded models do not wait"
        waiting[0].cancel()
        await asyncio.sleep(0)
        with pytest.raises(NotReady, match="still loading"):
            async with store.lease("toy@1", context(0.02)):
                pass
        engines.gate.set()
        assert await waiting[1] == 1
        await store.close()

    run(test)
