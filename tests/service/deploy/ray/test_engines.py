"""Models of an engine replica, without Ray."""

from __future__ import annotations

import asyncio
import gc

import numpy as np

from model_zoo.contract.package import Package
from service.deploy.ray.engines import Model
from service.inference.engine_guard import EngineGuard
from tests.service.fake_engine import FakeEngine

THRESHOLDS = (0.25, 0.5, 1.0)


async def wait_until_closed(engine: FakeEngine) -> None:
    while not engine.closed:
        await asyncio.sleep(0.001)


def test_images_become_batches_and_an_unused_model_is_closed(toy: Package) -> None:
    fake = FakeEngine(toy.card, max_batch=4)
    canvas = np.full((64, 64, 3), 7, np.uint8)

    async def run() -> None:
        model = Model(EngineGuard(toy, lambda _: fake, 10.0), max_delay=0.05)
        assert model.describe()["device"] == "fake"
        fake.gate.clear()
        runs = [asyncio.create_task(model.run((canvas, THRESHOLDS))) for _ in range(9)]
        await asyncio.sleep(0.01)
        del model
        gc.collect()
        fake.gate.set()
        found = await asyncio.gather(*runs)
        assert [(rows[0, 4].round(2), count) for rows, count in found] == [(0.25, 1)] * 9
        assert max(fake.batches) > 1
        runs.clear()
        gc.collect()
        await asyncio.wait_for(wait_until_closed(fake), 10)

    asyncio.run(run())
