"""Rollout policies in force: shares, headers, stickiness, and policies that cannot be followed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from model_zoo.contract.errors import PackageError
from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Canary, HeaderMatch, Rollout, Shadow
from model_zoo.contract.set_rollout import remove_rollout, set_rollout
from service.inference import rollout
from service.inference.batcher import BatchingOptions
from service.inference.loaded_model import LoadedModel
from service.inference.model_store import ModelStore
from service.inference.request import RequestContext
from tests.repositories import Publish
from tests.service.store_engines import PATIENCE, Engines, engines, run, store

__all__ = ["engines", "store"]

REQUESTS = [str(i) for i in range(400)]


@pytest.fixture
def cars(repository: Repository, publish: Publish) -> Iterator[Repository]:
    """`cars` with versions 1 to 3."""
    for _ in range(3):
        publish("cars")
    return repository


async def answering(store: ModelStore, reference: str | None = "cars", request_id: str = "", **headers: str) -> int:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    context = RequestContext(deadline, headers.pop("client", ""), request_id=request_id, metadata=headers)
    async with store.lease(reference, context) as model:
        return model.package.version


async def canary_requests(store: ModelStore, **headers: str) -> set[str]:
    return {request for request in REQUESTS if await answering(store, request_id=request, **headers) == 2}


def with_rollout(repository: Repository, rollout: Rollout) -> None:
    set_rollout(repository, "cars", rollout)


def test_stable_version_answers_for_the_bare_name_only(cars: Repository, store: ModelStore) -> None:
    async def test() -> None:
        with_rollout(cars, Rollout("1"))
        await store.refresh()
        assert [await answering(store, r) for r in ("cars", None, "cars@3", "cars@latest")] == [1, 1, 3, 3]
        remove_rollout(cars, "cars")
        await store.refresh()
        assert await answering(store) == 3
        await store.close()

    run(test)


def test_share_of_the_canary_grows_and_never_moves_a_request_back(cars: Repository, store: ModelStore) -> None:
    async def test() -> None:
        chosen: list[set[str]] = []
        for percent in (0, 10, 50, 100):
            with_rollout(cars, Rollout("1", Canary("2", percent)))
            await store.refresh()
            chosen.append(await canary_requests(store))
        assert [len(c) for c in (chosen[0], chosen[3])] == [0, len(REQUESTS)]
        assert 20 <= len(chosen[1]) <= 60
        assert 160 <= len(chosen[2]) <= 240
        assert chosen[0] < chosen[1] < chosen[2] < chosen[3]
        assert await answering(store, "cars@1") == 1
        await store.close()

    run(test)


def test_sticky_clients_stay_with_their_version(cars: Repository, store: ModelStore) -> None:
    async def test() -> None:
        for sticky, header in (("X-Api-Key", "x-api-key"), ("client", "client")):
            with_rollout(cars, Rollout("1", Canary("2", 50, sticky=sticky)))
            await store.refresh()
            numbers = [len(await canary_requests(store, **{header: client})) for client in "abcdefghij"]
            assert set(numbers) == {0, len(REQUESTS)}
        assert 0 < len(await canary_requests(store)) < len(REQUESTS)  # without the header, each request by itself
        await store.close()

    run(test)


def test_header_selects_the_canary(cars: Repository, store: ModelStore) -> None:
    async def test() -> None:
        with_rollout(cars, Rollout("1", Canary("2", header=HeaderMatch("X-Canary", "on"))))
        await store.refresh()
        assert await answering(store, **{"x-canary": "on"}) == 2
        assert await answering(store, **{"x-canary": "off"}) == 1
        assert await answering(store) == 1
        with_rollout(cars, Rollout("1", Canary("2", header=HeaderMatch("X-Canary"))))
        await store.refresh()
        assert await answering(store, **{"x-canary": "off"}) == 2
        await store.close()

    run(test)


def test_versions_are_loaded_ahead_and_unloaded_after_the_policy(
    cars: Repository, store: ModelStore, engines: Engines
) -> None:
    async def test() -> None:
        with_rollout(cars, Rollout("1", Canary("2", 50)))
        await store.refresh()
        assert sorted(package.version for package in engines.opened) == [1, 2]
        with_rollout(cars, Rollout("2"))
        await store.refresh()
        assert await answering(store) == 2
        assert engines.loads == 2
        await store.close()

    run(test)


def test_stable_answers_for_a_canary_that_cannot_be_loaded(
    cars: Repository, store: ModelStore, engines: Engines
) -> None:
    async def test() -> None:
        engines.broken[2] = PackageError("cars@2: no such kernel")
        with_rollout(cars, Rollout("1", Canary("2", 100)))
        await store.refresh()
        assert await answering(store) == 1
        expected = "cars: canary: stable answers instead, because cars@2: no such kernel"
        assert store.degraded() == store.degraded("cars") == [expected]
        await store.close()

    run(test)


def test_stable_answers_for_a_canary_whose_engine_has_failed(
    cars: Repository, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        with_rollout(cars, Rollout("1", Canary("2", 100)))
        await store.refresh()
        assert await answering(store) == 2
        monkeypatch.setattr(LoadedModel, "problem", "cars@2: its engine hangs")
        assert await answering(store) == 1
        assert "cars: canary: stable answers instead, because cars@2: its engine hangs" in store.degraded()
        await store.close()

    run(test)


@pytest.mark.parametrize("contents", ["{", '{"canary": {"version": 9}}', '{"stable": 1, "canary": {"percent": 1}}'])
def test_bad_policy_leaves_the_last_good_one_in_force(
    cars: Repository, store: ModelStore, contents: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        with_rollout(cars, Rollout("1", Canary("2", 100)))
        await store.refresh()
        (cars.root / "cars" / "rollout.json").write_text(contents)
        for _ in range(3):
            await store.refresh()
            assert await answering(store) == 2
        (line,) = store.degraded("cars")
        assert line.startswith("cars: the previous policy stays in force, because ")
        assert caplog.text.count("stays in force") == 1
        with_rollout(cars, Rollout("3"))
        await store.refresh()
        assert (await answering(store), store.degraded()) == (3, [])
        await store.close()

    run(test)


def test_bad_policy_at_the_first_start_is_ignored_and_reported(cars: Repository, store: ModelStore) -> None:
    async def test() -> None:
        (cars.root / "cars" / "rollout.json").write_text('{"canary": {"version": 2, "percent": 200}}')
        await store.refresh()
        assert await answering(store) == 3
        (line,) = store.degraded()
        assert line.startswith("cars: serving version 3, because cars: rollout.json: canary.percent: expected")
        assert "fix or delete it" in line
        await store.close()

    run(test)


def test_policy_follows_an_alias(cars: Repository, store: ModelStore) -> None:
    async def test() -> None:
        cars.set_alias("cars", "candidate", 2)
        with_rollout(cars, Rollout("1", Canary("candidate", 100)))
        await store.refresh()
        assert await answering(store) == 2
        cars.set_alias("cars", "candidate", 3)
        await store.refresh()
        assert await answering(store) == 3
        await store.close()

    run(test)


def test_removed_version_of_a_policy_in_force_is_not_served(cars: Repository, store: ModelStore) -> None:
    async def test() -> None:
        with_rollout(cars, Rollout("1", Canary("2", 100)))
        await store.refresh()
        (cars.root / "cars" / "2").rename(cars.root / "cars" / ".gone")
        await store.refresh()
        assert await answering(store) == 1
        assert any("cars has no version '2'" in line for line in store.degraded())
        await store.close()

    run(test)


def test_shadow_gets_its_share_of_the_bare_name(cars: Repository, store: ModelStore) -> None:
    async def test() -> None:
        with_rollout(cars, Rollout("1", shadow=Shadow("3", 50)))
        await store.refresh()
        context = RequestContext(0.0)
        shadows = [store.rollouts.shadow("cars", replace(context, request_id=request)) for request in REQUESTS]
        assert 160 <= sum(package is not None for package in shadows) <= 240
        assert {package.version for package in shadows if package} == {3}
        assert store.rollouts.shadow("cars@1", context) is None
        assert await answering(store) == 1
        await store.close()

    run(test)


def test_tiny_share_is_not_rounded_up() -> None:
    drawn = sum(rollout._within(0.001, "cars", str(i)) for i in range(100_000))
    assert drawn <= 5  # about 1; rounded up to 0.01 % it would be about 10


def test_loaded_version_answers_for_an_unloaded_one(cars: Repository, store: ModelStore) -> None:
    async def test() -> None:
        with_rollout(cars, Rollout("2"))
        await store.refresh()
        assert await answering(store, "cars@latest") == 3
        await store.unload("cars@3")
        hint = "POST /admin/models/cars/versions/3/load loads it again"
        expected = f"cars@latest: serving version 2 instead of 3, because an operator unloaded cars@3; {hint}"
        assert store.degraded() == [expected]
        assert await answering(store, "cars@latest") == 2
        await store.close()

    run(test)


@pytest.mark.parametrize("contents", ["{", '{"stable": "gone"}'])
def test_restart_on_a_bad_policy_serves_the_same_version(cars: Repository, engines: Engines, contents: str) -> None:
    async def test() -> None:
        for expected in ("", "cars: serving version 1, because cars: rollout.json: "):
            store = ModelStore(cars, engines, BatchingOptions())
            if not expected:
                with_rollout(cars, Rollout("1"))
            await store.refresh()
            assert await answering(store) == 1
            assert all(line.startswith(expected) for line in store.degraded())
            (cars.root / "cars" / "rollout.json").write_text(contents)
            await store.close()

    run(test)
