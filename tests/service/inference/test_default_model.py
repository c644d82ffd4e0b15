"""The default model stays what it was."""

from __future__ import annotations

import asyncio

import pytest

from model_zoo.contract.errors import PackageError, PackageNotFound, QueryError
from model_zoo.contract.repository import Repository
from service.inference.model_store import ModelStore
from service.inference.request import RequestContext
from tests.service.conftest import Publish
from tests.service.store_engines import PATIENCE, make_verifying_store, run


async def _answering(store: ModelStore) -> str:
    """Return the model that answers a request without a reference."""
    async with store.lease(None, RequestContext(asyncio.get_running_loop().time() + PATIENCE)) as model:
        return model.package.name


def test_second_model_does_not_become_the_default(repository: Repository, publish: Publish) -> None:
    publish("zebra")

    async def test() -> None:
        store = make_verifying_store(repository)
        await store.refresh()
        publish("ant")
        for _ in range(3):  # running, and after two restarts
            await store.refresh()
            assert (await _answering(store), store.default.name) == ("zebra", "zebra")
            await store.close()
            store = make_verifying_store(repository)

    run(test)


def test_damaged_default_model_is_not_replaced(repository: Repository, publish: Publish) -> None:
    package = publish("zebra")

    async def test() -> None:
        store = make_verifying_store(repository)
        await store.refresh()
        await store.close()
        publish("ant")
        package.model_path.unlink()
        store = make_verifying_store(repository)
        await store.refresh()
        with pytest.raises(PackageError, match=r"zebra@1: model\.onnx is missing"):
            await _answering(store)
        await store.close()

    run(test)


def test_setting_takes_precedence_and_leaves_the_record(repository: Repository, publish: Publish) -> None:
    publish("zebra")

    async def test() -> None:
        answers = []
        for default in (None, "ant", None):
            store = make_verifying_store(repository, default)
            await store.refresh()
            answers.append(await _answering(store) if default != "ant" else store.default.name)
            publish("ant")
            await store.close()
        assert answers == ["zebra", "ant", "zebra"]

    run(test)


def test_removed_default_model_is_replaced_by_the_only_one_left(
    repository: Repository, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    publish("zebra")

    async def test() -> None:
        store = make_verifying_store(repository)
        await store.refresh()
        publish("ant")
        publish("bee")
        await store.refresh()
        repository.remove_model("zebra")
        await store.refresh()
        with pytest.raises(QueryError, match="one of ant, bee; got none, and the default model 'zebra' was removed"):
            await _answering(store)
        assert "the default model zebra was removed: requests must name a model" in caplog.text
        repository.remove_model("bee")
        await store.refresh()
        assert await _answering(store) == "ant"
        publish("zebra")
        await store.refresh()
        assert await _answering(store) == "ant"
        await store.close()

    run(test)


def test_removed_default_model_that_returns_is_the_default_again(repository: Repository, publish: Publish) -> None:
    publish("zebra")

    async def test() -> None:
        store = make_verifying_store(repository)
        await store.refresh()
        publish("ant")
        publish("bee")
        repository.remove_model("zebra")
        await store.refresh()
        publish("zebra")
        await store.refresh()
        assert await _answering(store) == "zebra"
        await store.close()

    run(test)


def test_unknown_default_model_is_not_ready(
    repository: Repository, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    publish("zebra")

    async def test() -> None:
        store = make_verifying_store(repository, "zebr")
        for _ in range(2):
            await store.refresh()
        [missing] = store.missing()
        assert missing.startswith("default model: no model 'zebr'; did you mean zebra? available: zebra")
        assert caplog.text.count("no model 'zebr'") == 1
        with pytest.raises(PackageNotFound, match="did you mean zebra"):
            await _answering(store)
        publish("zebr")
        await store.refresh()
        assert (store.missing(), await _answering(store)) == ([], "zebr")
        repository.remove_model("zebr")
        await store.refresh()
        assert store.missing() == [], "the other models are still served"
        assert store.degraded()[0].startswith("default model: no model 'zebr'")
        await store.close()

    run(test)
