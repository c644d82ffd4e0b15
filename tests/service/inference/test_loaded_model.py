"""Loaded models: verification, warm-up, unloading."""

from __future__ import annotations

import asyncio

import pytest

from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import make_query
from model_zoo.runtime.base import EngineOptions
from service.inference.batcher import BatchingOptions
from service.inference.loaded_model import LoadedModel, load_verified
from service.inference.request import RequestContext
from tests.service.app_client import PATIENCE
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import FakeEngine, open_fake_engine


def test_load_verifies_the_files_first(publish: Publish) -> None:
    package = publish()
    package.model_path.write_bytes(b"other")

    def must_not_open(*_: object) -> FakeEngine:
        raise AssertionError("opened a damaged package")

    with pytest.raises(PackageError, match=r"model.onnx is damaged"):
        load_verified(must_not_open, EngineOptions(), package)


@pytest.mark.parametrize("warm_up", [True, False])
def test_load_warms_up_on_request(publish: Publish, warm_up: bool) -> None:
    engine = load_verified(open_fake_engine, EngineOptions(), publish(), warm_up=warm_up)
    assert isinstance(engine, FakeEngine)
    assert engine.warm_ups == warm_up


def test_engine_is_closed_if_its_warm_up_fails(publish: Publish) -> None:
    opened: list[FakeEngine] = []

    class Broken(FakeEngine):
        def warm_up(self) -> None:
            raise RuntimeError("broken")

    def open_broken(package: Package, _: EngineOptions) -> FakeEngine:
        opened.append(Broken(package.card))
        return opened[-1]

    with pytest.raises(RuntimeError, match="broken"):
        load_verified(open_broken, EngineOptions(), publish())
    assert opened[0].closed


def test_unload_waits_for_users(publish: Publish) -> None:
    async def run() -> None:
        package = publish()
        engine = FakeEngine(package.card)
        model = LoadedModel(package, engine, BatchingOptions())
        loop = asyncio.get_running_loop()
        with model.in_use():
            unloading = asyncio.create_task(model.unload())
            query = make_query(package.card, score=0.5)
            result = await model.detect(model.preprocess(flat(9, 3)), query, RequestContext(loop.time() + PATIENCE))
            assert result.value.boxes[0, :2].tolist() == [9, 3]
            assert not unloading.done()
            assert not engine.closed
        await unloading
        assert engine.closed

    asyncio.run(run())
