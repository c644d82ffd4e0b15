"""The engine host, with front ends in threads of this process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.package import Package
from model_zoo.runtime.base import EngineOptions
from service.engine_host.client import RemoteEngine, RemoteEngines
from service.engine_host.messages import RemoteError
from tests.service.app_client import wait_until
from tests.service.engine_host.running_host import image_feeds, needs_memfd, running_host
from tests.service.fake_engine import POISON, FakeEngine

pytestmark = needs_memfd
OPTIONS = EngineOptions()


class Opened:
    """Opens fake engines and remembers them."""

    def __init__(self) -> None:
        self.engines: list[FakeEngine] = []

    def __call__(self, package: Package, options: EngineOptions) -> FakeEngine:
        """Open an engine that takes four images at a time."""
        self.engines.append(FakeEngine(package.card, max_batch=4))
        return self.engines[-1]


@pytest.fixture
def opened() -> Opened:
    return Opened()


@pytest.fixture
def address(tmp_path: Path, opened: Opened) -> Iterator[str]:
    with running_host(tmp_path, opened) as address:
        yield address


def open_one(address: str, package: Package) -> RemoteEngine:
    return RemoteEngines(address)(package, OPTIONS)


def test_outputs_are_those_of_the_engine(address: str, toy_package: Package) -> None:
    engine, feeds = open_one(address, toy_package), image_feeds(200, toy_package.card.input_size, 0.1)
    expected = FakeEngine(toy_package.card).run(feeds)
    for found, wanted in zip(engine.run(feeds), expected, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    engine.close()


def test_front_ends_share_an_engine_and_its_warm_up(address: str, opened: Opened, toy_package: Package) -> None:
    first, second = open_one(address, toy_package), open_one(address, toy_package)
    first.warm_up()
    second.warm_up()
    assert (len(opened.engines), opened.engines[0].warm_ups) == (1, 1)
    assert (first.workers, first.max_batch, first.device) == (4, 1, "fake")
    first.close()
    second.run(image_feeds(1, toy_package.card.input_size))
    assert not opened.engines[0].closed
    second.close()
    wait_until(lambda: opened.engines[0].closed)


def test_images_of_several_front_ends_run_in_one_batch(tmp_path: Path, opened: Opened, toy_package: Package) -> None:
    with running_host(tmp_path, opened, max_delay=30.0) as address, ThreadPoolExecutor() as threads:
        front_ends = [open_one(address, toy_package) for _ in range(4)]
        size = toy_package.card.input_size
        runs = [threads.submit(one.run, image_feeds(20 + n, size)) for n, one in enumerate(front_ends)]
        assert [run.result()[0][0, 0, 0] for run in runs] == [20, 21, 22, 23]
        assert opened.engines[0].batches == [4]
        for one in front_ends:
            one.close()


def test_only_the_faulty_image_of_a_batch_fails(address: str, opened: Opened, toy_package: Package) -> None:
    engine, size = open_one(address, toy_package), toy_package.card.input_size
    with pytest.raises(RemoteError, match="RuntimeError: poisoned"):
        engine.run(image_feeds(POISON, size))
    assert engine.run(image_feeds(7, size))[0][0, 0, 0] == 7
    engine.close()


def test_an_engine_that_hangs_is_replaced_for_all(address: str, opened: Opened, toy_package: Package) -> None:
    ours, theirs, size = RemoteEngines(address), RemoteEngines(address), toy_package.card.input_size
    hung = [ours(toy_package, OPTIONS), theirs(toy_package, OPTIONS)]
    opened.engines[0].gate.clear()
    with ThreadPoolExecutor() as threads:
        runs = [threads.submit(one.run, image_feeds(9, size)) for one in hung]
        wait_until(lambda: all(one.is_suspect for one in hung))
        new = [ours(toy_package, OPTIONS), theirs(toy_package, OPTIONS)]
        assert [one.run(image_feeds(9, size))[1][0] for one in new] == [1, 1]
        opened.engines[0].gate.set()
        assert [run.result()[1][0] for run in runs] == [1, 1]
    assert len(opened.engines) == 2
    for one in hung:
        one.close()
    wait_until(lambda: opened.engines[0].closed)
    assert not opened.engines[1].closed
    for one in new:
        one.close()
