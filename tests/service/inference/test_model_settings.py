"""Models have settings of their own, which are followed while the server runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.runtime.base import EngineOptions
from service.inference.batcher import BatchingOptions
from service.inference.model_settings import FILE_NAME, NO_SETTINGS, ModelSettings, read_settings
from service.inference.model_store import ModelStore
from service.inference.request import RequestContext
from tests.service.conftest import Publish
from tests.service.store_engines import PATIENCE, Engines, engines, run, store, version

__all__ = ["engines", "store"]


def write(folder: Path, **fields: object) -> None:
    (folder / FILE_NAME).write_text(json.dumps(fields))


def read_one(package: Package) -> ModelSettings:
    settings, problems = read_settings([package], {})
    assert problems == []
    return settings[package]


def test_fields_of_a_version_replace_those_of_its_model(publish: Publish) -> None:
    first, second = publish(), publish()
    write(first.path.parent, workers=2, score=0.5)
    write(second.path, workers=3)
    assert read_one(first) == ModelSettings(workers=2, score=0.5)
    assert read_one(second) == ModelSettings(workers=3, score=0.5)
    assert read_one(publish("other")) == NO_SETTINGS


def test_settings_replace_those_of_the_server_and_the_card(publish: Publish) -> None:
    settings = ModelSettings(4, 16, 5, 8, "buckets", "bf16", "cpu", 0.5, 0.6, 2)
    server = EngineOptions(runtime="tensorrt", workers=1, threads=3)
    expected = EngineOptions("tensorrt", "cpu", workers=4, max_batch=16, shapes="buckets", compute="bf16", threads=3)
    assert settings.engine_options(server) == expected
    assert settings.batching(BatchingOptions()) == BatchingOptions(max_delay=0.005, queue_size=8)
    card = settings.card(publish().card)
    assert (card.thresholds.score, card.thresholds.iou, card.max_detections) == (0.5, 0.6, 2)
    assert NO_SETTINGS.batching(BatchingOptions(0.1, 3)) == BatchingOptions(0.1, 3)
    assert NO_SETTINGS.card(card) == card


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "toy/service.json: expected a JSON document; "),
        ("[]", "toy/service.json: the document: expected an object; got []"),
        ('{"worker": 2}', "toy/service.json: worker: unknown field; expected one of workers, max_batch, "),
        ('{"workers": "2"}', "toy/service.json: workers: expected an integer; got '2'"),
        ('{"workers": 0}', "toy/service.json: workers: expected an integer of at least 1; got 0"),
        ('{"max_delay_ms": -1}', "toy/service.json: max_delay_ms: expected 0 to 1000; got -1.0"),
        ('{"shapes": "round"}', "toy/service.json: shapes: expected one of 'auto', 'square', 'buckets'; got 'round'"),
        ('{"score": 0}', "toy/service.json: score: expected "),
        ('{"max_detections": 100000}', "toy/service.json: max_detections: expected "),
    ],
)
def test_bad_file_leaves_the_previous_settings_in_force(publish: Publish, text: str, reason: str) -> None:
    package = publish()
    (package.path.parent / FILE_NAME).write_text(text)
    settings, [problem] = read_settings([package], {package: ModelSettings(workers=2)})
    assert settings == {package: ModelSettings(workers=2)}
    assert problem.reason.startswith(reason)
    assert problem.reason.endswith("; the previous settings stay in force")
    assert problem.version is None


def test_file_that_cannot_be_read_is_a_problem(publish: Publish) -> None:
    packages = [publish(), publish()]
    (packages[0].path.parent / FILE_NAME).mkdir()
    settings, [problem] = read_settings(packages, {})
    assert set(settings.values()) == {NO_SETTINGS}
    assert problem.reason.startswith("toy/service.json: cannot be read (")


def test_change_replaces_the_engine_without_losing_a_request(
    store: ModelStore, publish: Publish, engines: Engines
) -> None:
    package = publish()

    async def test() -> None:
        await store.refresh()
        before = engines.opened[package]
        write(package.path.parent, workers=3, score=0.75)
        async with store.lease("toy", RequestContext(asyncio.get_running_loop().time() + PATIENCE)):
            engines.gate.clear()
            refreshing = asyncio.create_task(store.refresh())
            while engines.loads < 2:
                await asyncio.sleep(0.005)
            assert await version(store, "toy") == 1, "the old engine answers while the new one loads"
            engines.gate.set()
            await refreshing
            assert not before.closed
        await store.refresh()
        assert (engines.loads, engines.opened[package].workers) == (2, 3)
        async with store.lease("toy", RequestContext(asyncio.get_running_loop().time() + PATIENCE)) as model:
            assert model.card.thresholds.score == 0.75
        (package.path.parent / FILE_NAME).unlink()
        await store.refresh()
        assert engines.opened[package].workers == 1
        await store.close()
        assert before.closed

    run(test)


def test_bad_change_is_reported_once_and_the_model_stays(
    store: ModelStore, publish: Publish, engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    package = publish()
    write(package.path, workers=3)

    async def test() -> None:
        await store.refresh()
        write(package.path, workers=-3)
        for _ in range(3):
            await store.refresh()
        assert (engines.loads, engines.opened[package].workers) == (1, 3)
        assert caplog.text.count("toy/1/service.json: workers: expected") == 1
        assert "toy/1/service.json: workers: expected" in store.problems("toy")[0]
        assert "toy/1/service.json: workers: expected" in store.degraded("toy")[0]
        assert store.problems("other") == store.degraded("other") == store.missing() == []
        await store.close()

    run(test)


def test_settings_that_the_engine_refuses_leave_the_old_one_in_service(
    store: ModelStore, publish: Publish, engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    package = publish()

    async def test() -> None:
        await store.refresh()
        write(package.path, provider="cuda")
        engines.broken = {1: PackageError("there is no CUDA device")}
        for _ in range(3):
            await store.refresh()
        assert (engines.loads, caplog.text.count("there is no CUDA device")) == (2, 1)
        assert store.state(package) == "loaded"
        assert await version(store, "toy") == 1
        assert "there is no CUDA device" in store.problems()[0]
        engines.broken = {}
        write(package.path, provider="cpu")
        await store.refresh()
        assert (engines.loads, store.problems()) == (3, [])
        await store.close()

    run(test)


def test_failed_model_is_tried_again_once_its_settings_change(
    store: ModelStore, publish: Publish, engines: Engines
) -> None:
    package = publish()
    engines.broken = {1: PackageError("no such provider")}

    async def test() -> None:
        await store.refresh()
        engines.broken = {}
        await store.refresh()
        assert store.state(package) == "failed"
        write(package.path.parent, provider="cpu")
        await store.refresh()
        assert store.state(package) == "loaded"
        await store.close()

    run(test)
