"""Shadow traffic: compared in idle moments, dropped when there are too many, never in the way of an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Canary, Rollout
from model_zoo.contract.rollout import Shadow as ShadowRule
from model_zoo.contract.set_rollout import remove_rollout, set_rollout
from model_zoo.runtime.base import EngineOptions
from service.inference import shadow as shadow_module
from service.inference.batcher import BatchingOptions
from service.inference.image_pool import ImagePool
from service.inference.model_store import ModelStore
from service.inference.query import QueryOptions
from service.inference.request import RequestContext
from service.inference.service import DetectionService
from service.inference.shadow import Shadow
from service.inference.shadow_report import Comparison
from service.telemetry.metrics import Metrics
from tests.repositories import Publish
from tests.service.app_client import png
from tests.service.conftest import flat
from tests.service.fake_engine import FakeEngine, open_fake_engine
from tests.service.store_engines import PATIENCE, run

SAME = png(flat(7))


class Loader:
    """Opens fake engines for shadows, whose boxes can be moved. Clear `gate` to block their runs."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.opened: list[ShiftedEngine] = []
        self.error: Exception | None = None
        self.shift = 0.0

    def __call__(self, package: Package) -> ShiftedEngine:
        if self.error:
            raise self.error
        self.opened.append(ShiftedEngine(package, self))
        return self.opened[-1]


class ShiftedEngine(FakeEngine):
    def __init__(self, package: Package, loader: Loader) -> None:
        super().__init__(package.card, gate=loader.gate)
        self._loader = loader

    def run(self, feeds):  # type: ignore[no-untyped-def]
        rows, counts = super().run(feeds)
        rows[..., :4] += np.float32(self._loader.shift)
        return rows, counts


class Bench:
    """A detection service of `cars` with versions 1 and 2, and its shadow."""

    def __init__(self, repository: Repository, max_examples: int = 0) -> None:
        self.repository, self.metrics, self.loader = repository, Metrics(), Loader()
        self.primaries: list[FakeEngine] = []
        self.store = ModelStore(repository, self._open, BatchingOptions(), metrics=self.metrics)
        self.shadow = Shadow(self.store.rollouts, self.loader, self.metrics, max_examples=max_examples)
        self.service = DetectionService(self.store, ImagePool(1, 64), self.metrics, self.shadow)

    def _open(self, package: Package, options: EngineOptions) -> FakeEngine:
        self.primaries.append(open_fake_engine(package, options))
        return self.primaries[-1]

    async def detect(self, *images: bytes, reference: str | None = "cars", request_id: str = "", **query: float) -> int:
        context = RequestContext(asyncio.get_running_loop().time() + PATIENCE, request_id=request_id)
        return (await self.service.detect(images, reference, QueryOptions(**query), context)).package.version

    async def policy(self, rollout: Rollout) -> None:
        set_rollout(self.repository, "cars", rollout)
        await self.store.refresh()

    async def settle(self) -> None:
        await until(lambda: not self.shadow.is_busy)

    @property
    def comparison(self) -> Comparison:
        (comparison,) = self.shadow.report
        return comparison

    def count(self, result: str) -> float:
        labels = {"model": "cars", "version": "2", "result": result}
        return self.metrics.registry.get_sample_value("lineage_shadow_images_total", labels) or 0.0


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def bench(repository: Repository, publish: Publish, max_examples: int = 0) -> AsyncIterator[Bench]:
    for _ in range(2):
        publish("cars")
    running = Bench(repository, max_examples)
    await running.policy(Rollout("1", shadow=ShadowRule("2")))
    yield running
    await running.service.close()


Test = Callable[[Repository, Publish], None]


def on_bench(max_examples: int = 0) -> Callable[[Callable[[Bench], Awaitable[None]]], Test]:
    def decorate(test: Callable[[Bench], Awaitable[None]]) -> Test:
        def run_test(repository: Repository, publish: Publish) -> None:
            async def on_loop() -> None:
                async with bench(repository, publish, max_examples) as running:
                    await test(running)

            run(on_loop)

        return run_test

    return decorate


@on_bench()
async def test_answers_are_compared_and_stay_those_of_the_primary(bench: Bench) -> None:
    assert await bench.detect(SAME, SAME) == 1
    await bench.settle()
    assert bench.comparison.images == {"compared": 2}
    assert bench.comparison.differences == {("red", "same"): 2}
    assert bench.count("compared") == 2
    assert await bench.detect(SAME, reference="cars@1") == 1
    assert await bench.detect(SAME, reference="cars@2") == 2
    await bench.settle()
    assert bench.comparison.images == {"compared": 2}
    assert await bench.detect(SAME, reference=None) == 1
    await bench.settle()
    assert bench.comparison.images == {"compared": 3}


@on_bench()
async def test_differences_are_counted_with_the_query_of_the_request(bench: Bench) -> None:
    bench.loader.shift = 20.0
    await bench.detect(SAME, score=0.5)
    await bench.settle()
    assert bench.comparison.differences == {("red", "lost"): 1, ("red", "found"): 1}
    assert bench.comparison.different_images == 1
    bench.loader.shift = 0.0
    await bench.detect(SAME, score=0.9)  # the score of the fake engine is the threshold
    await bench.settle()
    assert bench.comparison.differences["red", "same"] == 1
    labels = {"model": "cars", "version": "2", "label": "red", "difference": "lost"}
    assert bench.metrics.registry.get_sample_value("lineage_shadow_detections_total", labels) == 1


@on_bench()
async def test_shadow_waits_until_no_image_is_in_the_server(bench: Bench) -> None:
    with bench.shadow.primary():
        await bench.detect(SAME)
        await asyncio.sleep(0.05)
        assert (bench.shadow.waiting, bench.loader.opened) == (1, [])
    await bench.settle()
    assert bench.comparison.images == {"compared": 1}


@on_bench()
async def test_images_beyond_the_queue_are_dropped_and_answered(bench: Bench) -> None:
    bench.loader.gate.clear()
    answers = [await bench.detect(SAME) for _ in range(shadow_module.QUEUE_IMAGES + 10)]
    assert answers == [1] * len(answers)
    bench.loader.gate.set()
    await bench.settle()
    images = bench.comparison.images
    assert images["dropped"] in (9, 10)
    assert images["compared"] + images["dropped"] == len(answers)
    assert bench.count("dropped") == images["dropped"]


@on_bench()
async def test_shadow_that_fails_harms_no_answer(bench: Bench) -> None:
    bench.loader.error = PackageError("no such kernel")
    assert await bench.detect(SAME) == 1
    await bench.settle()
    assert bench.comparison.images == {"failed": 1}
    assert bench.comparison.last_failure == "no such kernel"
    assert "cars: shadow: nothing is compared, because cars@2: no such kernel" in bench.store.degraded()


@on_bench()
async def test_image_that_the_shadow_cannot_run_is_counted(bench: Bench) -> None:
    assert await bench.detect(SAME) == 1
    await bench.settle()
    bench.loader.opened[0].run = _raise  # type: ignore[method-assign]
    assert await bench.detect(SAME) == 1
    await bench.settle()
    assert bench.comparison.images == {"compared": 1, "failed": 1}
    assert bench.comparison.last_failure == "RuntimeError; see the server's log"


def _raise(feeds: object) -> None:
    raise RuntimeError("broken")


@on_bench()
async def test_bad_images_are_not_compared(bench: Bench) -> None:
    await bench.detect(SAME, b"no image")
    await bench.settle()
    assert bench.comparison.images == {"compared": 1}


@on_bench(max_examples=1)
async def test_removed_policy_frees_the_engine_and_forgets_the_images(bench: Bench) -> None:
    bench.loader.shift = 20.0
    await bench.detect(SAME)
    await bench.settle()
    assert len(bench.shadow.report.examples()) == 1
    remove_rollout(bench.repository, "cars")
    await bench.store.refresh()
    (engine,) = bench.loader.opened
    await until(lambda: engine.closed)
    assert list(bench.shadow.report) == bench.shadow.report.examples() == []
    assert await bench.detect(SAME) == 2  # the newest


@on_bench(max_examples=2)
async def test_examples_are_the_most_different_images(bench: Bench) -> None:
    for shift in (0.0, 20.0, 20.0, 20.0):
        bench.loader.shift = shift
        await bench.detect(SAME)
        await bench.settle()
    examples = bench.shadow.report.examples()
    assert len(examples) == 2
    assert all(example.jpeg.startswith(b"\xff\xd8") for example in examples)
    assert bench.shadow.report.example(examples[0].number) is examples[0]


@on_bench()
async def test_no_image_is_kept_by_default(bench: Bench) -> None:
    bench.loader.shift = 20.0
    await bench.detect(SAME)
    await bench.settle()
    assert bench.shadow.report.examples() == []


@on_bench()
async def test_close_drops_the_waiting_images(bench: Bench) -> None:
    with bench.shadow.primary():
        await bench.detect(SAME)
    await bench.shadow.close()
    assert await bench.detect(SAME) == 1
    assert bench.shadow.waiting == 0


def test_hung_shadow_is_abandoned(repository: Repository, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_module, "MAX_RUN", 0.05)

    async def test() -> None:
        async with bench(repository, publish) as running:
            running.loader.gate.clear()
            assert await running.detect(SAME) == 1
            await running.settle()
            assert running.comparison.images == {"failed": 1}
            running.loader.gate.set()
            assert await running.detect(SAME) == 1
            await running.settle()
            assert running.comparison.images == {"failed": 1, "compared": 1}

    run(test)


@on_bench()
async def test_answers_of_the_canary_are_compared_too(bench: Bench) -> None:
    await bench.policy(Rollout("1", Canary("1", 100), ShadowRule("2", 100)))
    assert await bench.detect(SAME) == 1
    await bench.policy(Rollout("1", Canary("2", 100), ShadowRule("2", 100)))
    assert await bench.detect(SAME) == 2
    await bench.settle()
    assert bench.comparison.images == {"compared": 1}  # a version is not compared with itself


@on_bench()
async def test_unloaded_shadow_compares_nothing_and_keeps_its_report(bench: Bench) -> None:
    await bench.detect(SAME)
    await bench.settle()
    await bench.store.unload("cars@2")
    await until(lambda: bench.loader.opened[0].closed)
    await bench.detect(SAME)
    await bench.settle()
    assert (bench.comparison.images, len(bench.loader.opened)) == ({"compared": 1}, 1)
