"""The model store follows the repository on disk."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from model_zoo.contract.errors import PackageError, PackageNotFound, QueryError
from model_zoo.contract.pipeline import make_query
from model_zoo.contract.repository import Repository
from service.inference.batcher import BatchingOptions
from service.inference.errors import NotReady
from service.inference.model_store import ModelStore
from service.inference.request import RequestContext
from tests.service.conftest import Publish, flat
from tests.service.store_engines import PATIENCE, Engines, engines, run, store, version

__all__ = ["engines", "store"]


def test_empty_repository_reports_what_is_missing(store: ModelStore, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        assert store.missing() == ["the model repository is being read"]
        await store.refresh()
        assert "lineage import" in store.missing()[0]
        assert "lineage import" in caplog.text
        with pytest.raises(PackageNotFound, match="lineage import"):
            await version(store, None)
        with pytest.raises(PackageNotFound, match="lineage import"):
            await version(store, "yolov5n")

    run(test)


def test_fallback_is_used_until_the_repository_holds_a_model(
    repository: Repository, publish: Publish, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish("bundled")
    preferred = Repository(tmp_path / "preferred")
    store = ModelStore(preferred, Engines(), BatchingOptions(), fallback=repository)
    caplog.set_level("INFO")

    async def name() -> str:
        await store.refresh()
        async with store.lease(None, RequestContext(asyncio.get_running_loop().time() + PATIENCE)) as model:
            return model.package.name

    async def test() -> None:
        assert await name() == await name() == "bundled"
        assert caplog.text.count("serving the bundled model") == 1
        publish("own").path.parent.rename(tmp_path / "own")
        preferred.root.mkdir()
        (tmp_path / "own").rename(preferred.root / "own")
        assert await name() == "own"
        assert f"serving the models in {preferred.root}" in caplog.text
        preferred.root.rename(tmp_path / "lost")
        with pytest.raises(PackageError, match="is gone"):  # and does not fall back
            await name()
        await store.close()

    run(test)


def test_default_version_is_loaded_ahead_and_others_on_request(
    store: ModelStore, publish: Publish, engines: Engines
) -> None:
    first, second = publish(), publish()

    async def test() -> None:
        await store.refresh()
        assert (store.state(first), store.state(second)) == ("available", "loaded")
        assert store.missing() == []
        assert await version(store, None) == await version(store, "toy") == await version(store, "toy@latest") == 2
        assert await version(store, "toy@1") == 1
        await store.refresh()
        assert (store.state(first), store.state(second)) == ("loaded", "loaded")
        assert engines.loads == 2
        await store.close()
        assert all(engine.closed for engine in engines.opened.values())

    run(test)


def test_eager_all_loads_every_version(repository: Repository, publish: Publish, engines: Engines) -> None:
    packages = [publish(), publish(), publish("other")]
    store = ModelStore(repository, engines, BatchingOptions(), eager="all")

    async def test() -> None:
        await store.refresh()
        assert [store.state(package) for package in packages] == ["loaded"] * 3
        await store.close()

    run(test)


def test_reference_is_optional_with_one_model_or_a_default(repository: Repository, publish: Publish) -> None:
    publish("one")
    publish("two")

    async def test() -> None:
        store = ModelStore(repository, Engines(), BatchingOptions())
        await store.refresh()
        with pytest.raises(QueryError, match="one, two"):
            await version(store, None)
        await store.close()
        store = ModelStore(repository, Engines(), BatchingOptions(), default="two@1")
        await store.refresh()
        assert await version(store, None) == 1
        await store.close()

    run(test)


def test_new_version_replaces_the_old_one_once_loaded(store: ModelStore, publish: Publish, engines: Engines) -> None:
    old = publish()

    async def test() -> None:
        await store.refresh()
        new = publish()
        engines.gate.clear()
        refreshing = asyncio.create_task(store.refresh())
        while store.state(new) != "loading":
            await asyncio.sleep(0.01)
        assert await version(store, "toy") == 1
        assert store.missing() == []
        engines.gate.set()
        await refreshing
        assert await version(store, "toy") == 2
        assert store.state(old) == "available"
        await store.close()
        assert engines.opened[old].closed

    run(test)


def test_old_version_is_unloaded_after_its_last_lease_ends(
    store: ModelStore, publish: Publish, engines: Engines
) -> None:
    old = publish()

    async def test() -> None:
        await store.refresh()
        loop = asyncio.get_running_loop()
        async with store.lease("toy", RequestContext(loop.time() + PATIENCE)) as model:
            publish()
            await store.refresh()
            await asyncio.sleep(0.05)
            assert not engines.opened[old].closed
            answer = await model.detect(
                model.preprocess(flat(9)), make_query(model.card), RequestContext(loop.time() + PATIENCE)
            )
            assert len(answer.value.detections) == 1
        await store.close()
        assert engines.opened[old].closed

    run(test)


def test_moved_alias_selects_the_new_version(store: ModelStore, repository: Repository, publish: Publish) -> None:
    for _ in range(3):
        publish()
    repository.set_alias("toy", "canary", 1)

    async def test() -> None:
        await store.refresh()
        assert await version(store, "toy@canary") == 1
        repository.set_alias("toy", "canary", 2)
        repository.set_alias("toy", "stable", 2)
        await store.refresh()
        assert await version(store, "toy@canary") == await version(store, "toy") == 2
        assert await version(store, "toy@latest") == 3
        await store.close()

    run(test)


def test_version_published_since_the_last_refresh_is_found(store: ModelStore, publish: Publish) -> None:
    publish()

    async def test() -> None:
        await store.refresh()
        publish()
        assert await version(store, "toy") == 1
        assert await version(store, "toy@2") == 2
        with pytest.raises(PackageNotFound, match="no version 'best'"):
            await version(store, "toy@best")
        await store.close()

    run(test)


def test_version_that_fails_to_load_leaves_the_old_one_in_service(
    store: ModelStore, publish: Publish, engines: Engines
) -> None:
    publish()
    engines.broken = {2: PackageError("toy@2: cannot be loaded: wrong opset"), 3: ZeroDivisionError("secret")}

    async def test() -> None:
        await store.refresh()
        for number, reason in ((2, "wrong opset"), (3, "ZeroDivisionError")):
            package = publish()
            await store.refresh()
            assert store.state(package) == "failed"
            assert reason in store.problems("toy")[-1]
            assert await version(store, "toy") == 1
            with pytest.raises(PackageError, match=reason):
                await version(store, f"toy@{number}")
        assert "secret" not in str(store.problems())
        assert store.problems("other") == []
        loads = engines.loads
        await store.refresh()
        assert engines.loads == loads, "a failed package is not tried again at once"
        await store.close()

    run(test)


def test_damaged_package_does_not_affect_others(
    store: ModelStore, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    good, damaged = publish(), publish()
    damaged.model_path.write_bytes(b"not what was published")

    async def test() -> None:
        await store.refresh()
        await store.refresh()
        assert store.problems()[0].startswith("toy@2: model.onnx is damaged")
        assert caplog.text.count("toy@2: model.onnx is damaged") == 1, "logged once"
        assert await version(store, "toy@1") == await version(store, "toy") == good.version
        with pytest.raises(PackageError, match="damaged"):
            await version(store, "toy@2")
        await store.close()

    run(test)


def test_damaged_new_version_leaves_the_old_one_in_service(store: ModelStore, publish: Publish) -> None:
    publish()

    async def test() -> None:
        await store.refresh()
        publish().model_path.unlink()
        await store.refresh()
        assert await version(store, "toy") == 1
        await store.close()

    run(test)


def test_model_removed_from_disk_is_unloaded(
    store: ModelStore, repository: Repository, publish: Publish, engines: Engines
) -> None:
    package = publish()
    publish("other")

    async def test() -> None:
        await store.refresh()
        shutil.rmtree(repository.root / "toy")
        await store.refresh()
        with pytest.raises(PackageNotFound):
            await version(store, "toy")
        assert await version(store, None) == 1
        await store.close()
        assert engines.opened[package].closed

    run(test)


def test_unreadable_repository_changes_nothing(
    store: ModelStore, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()

    async def test() -> None:
        await store.refresh()
        calls = []

        def broken(_: Repository) -> None:
            calls.append(1)
            raise PackageError("stale file handle")

        monkeypatch.setattr(Repository, "scan", broken)
        watching = asyncio.create_task(store.watch(0.01))
        while len(calls) < 3:
            await asyncio.sleep(0.01)
        assert await version(store, "toy") == 1
        watching.cancel()
        await store.close()

    run(test)


def test_lost_repository_leaves_the_models_in_service(
    store: ModelStore, repository: Repository, publish: Publish
) -> None:
    publish()

    async def test() -> None:
        await store.refresh()
        repository.root.rename(repository.root.with_name("away"))
        with pytest.raises(PackageError, match="is gone"):
            await store.refresh()
        assert await version(store, "toy") == 1
        repository.root.mkdir()
        with pytest.raises(PackageError, match="is it unmounted"):
            await store.refresh()
        assert "is it unmounted" in str(store.degraded())
        assert await version(store, "toy") == 1
        await store.close()

    run(test)


def test_requests_share_one_load_and_stop_at_their_deadline(
    store: ModelStore, publish: Publish, engines: Engines
) -> None:
    publish()
    publish()

    async def test() -> None:
        await store.refresh()
        engines.gate.clear()
        waiting = [asyncio.create_task(version(store, "toy@1")) for _ in range(3)]
        await asyncio.sleep(0.01)
        with pytest.raises(NotReady, match="still loading"):
            async with store.lease("toy@1", RequestContext(asyncio.get_running_loop().time() + 0.02)):
                pass
        engines.gate.set()
        assert await asyncio.gather(*waiting) == [1, 1, 1]
        assert engines.loads == 2
        await store.close()

    run(test)


def test_loading_model_is_not_ready(store: ModelStore, publish: Publish, engines: Engines) -> None:
    publish()
    engines.gate.clear()

    async def test() -> None:
        refreshing = asyncio.create_task(store.refresh())
        while not engines.loads:
            await asyncio.sleep(0.01)
        assert store.missing() == ["toy@1 is loading"]
        engines.gate.set()
        await refreshing
        assert store.missing() == []
        await store.close()

    run(test)


def test_store_is_ready_when_every_default_is_loaded(store: ModelStore, publish: Publish, engines: Engines) -> None:
    publish("one")
    publish("two")

    async def test() -> None:
        engines.gated = "two"
        engines.gate.clear()
        refreshing = asyncio.create_task(store.refresh())
        while engines.loads < 2:
            await asyncio.sleep(0.01)
        assert store.missing() == ["two@1 is loading"]
        engines.gate.set()
        await refreshing
        assert store.missing() == []
        await store.close()

    run(test)


def test_lease_before_the_first_refresh_is_not_ready(store: ModelStore, publish: Publish) -> None:
    publish()

    async def test() -> None:
        for reference in (None, "toy"):
            with pytest.raises(NotReady, match="is being read; try again"):
                await version(store, reference)
        await store.refresh()
        assert await version(store, None) == 1
        await store.close()

    run(test)


def test_repository_of_damaged_packages_is_not_ready(store: ModelStore, publish: Publish) -> None:
    publish().model_path.unlink()

    async def test() -> None:
        await store.refresh()
        assert any("model.onnx is missing" in reason for reason in store.missing())
        await store.close()

    run(test)
