"""DetectionService: detection without HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from model_zoo.contract.errors import ImageError, PackageNotFound, QueryError
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import make_query
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import EngineOptions
from service.inference.batcher import BatchingOptions
from service.inference.errors import DeadlineExceeded, DecodeQueueFull, InferenceQueueFull, NotReady, ShuttingDown
from service.inference.image_pool import ImagePool
from service.inference.model_store import ModelStore
from service.inference.query import QueryOptions
from service.inference.request import RequestContext
from service.inference.results import ImageResult
from service.inference.service import DetectionService
from tests.service.app_client import PATIENCE, png
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import FakeEngine, GatedEngines, open_fake_engine
from tests.tiny_onnx import toy_card

QUERY = QueryOptions(score=0.25)


@asynccontextmanager
async def running(
    repository: Repository,
    open_engine: Callable[[Package, EngineOptions], FakeEngine] = open_fake_engine,
    queue_size: int = 64,
    decoders: int = 2,
) -> AsyncIterator[DetectionService]:
    store = ModelStore(repository, open_engine, BatchingOptions(0, queue_size))
    await store.refresh()
    service = DetectionService(store, ImagePool(decoders, queue_size))
    yield service
    await service.close()


def later(seconds: float = PATIENCE) -> RequestContext:
    return RequestContext(asyncio.get_running_loop().time() + seconds)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def test_detect_returns_results_in_order(repository: Repository, publish: Publish) -> None:
    package = publish()

    async def test() -> None:
        async with running(repository) as service:
            images = [png(flat(5, 6)), b"no image", png(flat(7, 8, size=(32, 64)))]
            result = await service.detect(images, "toy@latest", QUERY, later())
        first, bad, last = result.images
        assert result.package == package
        assert isinstance(first, ImageResult)
        assert isinstance(bad, ImageError)
        assert isinstance(last, ImageResult)
        assert first.detections.boxes[0, :2].tolist() == [5, 6]
        assert first.detections.scores.tolist() == [0.25]
        assert (first.size, last.size) == ((64, 64), (32, 64))
        assert min(first.decode_seconds, first.queue_seconds, first.infer_seconds) >= 0

    run(test)


def test_check_and_detect_raise_the_same_errors(repository: Repository, publish: Publish) -> None:
    publish()

    async def test() -> None:
        async with running(repository) as service:
            await service.check(None, QueryOptions(), later())
            for reference, query, error in (
                ("unknown", QueryOptions(), PackageNotFound),
                ("toy@2", QueryOptions(), PackageNotFound),
                (None, QueryOptions(score=2), QueryError),
                (None, QueryOptions(classes=["dog"]), QueryError),
            ):
                with pytest.raises(error):
                    await service.check(reference, query, later())
                with pytest.raises(error):
                    await service.detect([png(flat(1))], reference, query, later())

    run(test)


def test_service_without_a_refreshed_store_is_not_ready(repository: Repository) -> None:
    async def test() -> None:
        store = ModelStore(repository, open_fake_engine, BatchingOptions())
        with pytest.raises(NotReady):
            await DetectionService(store, ImagePool(1, 1)).check(None, QUERY, later())

    run(test)


def test_full_queues_are_different_errors(repository: Repository, publish: Publish) -> None:
    publish()

    async def test() -> None:
        engines, image = GatedEngines(), png(flat(1))
        async with running(repository, engines, queue_size=1, decoders=1) as service:
            with pytest.raises(DecodeQueueFull):  # one is decoded, one waits, the third is refused
                await service.detect([image] * 3, None, QUERY, later())
            accepted = [asyncio.create_task(service.detect([image], None, QUERY, later()))]
            await until(lambda: engines.started)
            model = next(iter(service._store._models.values()))
            accepted.append(asyncio.create_task(service.detect([image], None, QUERY, later())))
            await until(lambda: model._batcher.waiting)
            with pytest.raises(InferenceQueueFull):
                await service.detect([image], None, QUERY, later())
            engines.gate.set()
            assert [len((await task).images) for task in accepted] == [1, 1]

    run(test)


def test_deadline_applies_to_the_whole_request(repository: Repository, publish: Publish) -> None:
    publish()

    async def test() -> None:
        engines = GatedEngines()
        async with running(repository, engines) as service:
            with pytest.raises(DeadlineExceeded):
                await service.detect([png(flat(1))] * 2, None, QUERY, later(0.1))
            engines.gate.set()

    run(test)


def test_closed_service_refuses_images(repository: Repository, publish: Publish) -> None:
    publish()

    async def test() -> None:
        async with running(repository) as service:
            await service._images.close()
            with pytest.raises(ShuttingDown):
                await service.detect([png(flat(1))], None, QUERY, later())

    run(test)


def test_draw_returns_a_jpeg(repository: Repository, publish: Publish) -> None:
    publish()

    async def test() -> None:
        async with running(repository) as service:
            image = png(flat(20, 20))
            first = (await service.detect([image], None, QUERY, later())).images[0]
            assert isinstance(first, ImageResult)
            jpeg = await service.draw(image, first.detections, ["red"], later())
            assert jpeg.startswith(b"\xff\xd8\xff")

    run(test)


def test_options_use_the_defaults_of_the_card() -> None:
    card = toy_card()
    assert QueryOptions().resolve(card) == make_query(card)
    query = QueryOptions(0.5, 0.6, 0.0, ["red", 2], 1).resolve(card)
    assert (query.score, query.iou, query.distance_weight, query.max_detections) == (0.5, 0.6, 0, 1)
    assert query.class_ids == {0, 2}


def test_clamped_options_are_moved_to_the_bounds_of_the_model() -> None:
    card = toy_card()
    assert QueryOptions(score=0, max_detections=20, clamp=True).resolve(card) == make_query(
        card, score=card.thresholds.score_floor, max_detections=card.candidates
    )
    inside = QueryOptions(score=0.3, max_detections=2)
    assert replace(inside, clamp=True).resolve(card) == inside.resolve(card)
    assert QueryOptions(clamp=True).resolve(card) == make_query(card)
    with pytest.raises(QueryError):
        QueryOptions(score=0).resolve(card)


def test_arrays_are_answered_as_image_files_are(repository: Repository, publish: Publish) -> None:
    publish()

    async def test() -> None:
        image = flat(7, 8, size=(32, 96))
        async with running(repository) as service:
            (file,) = (await service.detect([png(image)], None, QUERY, later())).images
            (array,) = (await service.detect_arrays([lambda: image], None, [QUERY], later())).images
            (bad,) = (await service.detect_arrays([lambda: image[0]], None, [QUERY], later())).images
        assert isinstance(file, ImageResult)
        assert isinstance(array, ImageResult)
        assert (array.size, array.detections.boxes.tolist()) == (file.size, file.detections.boxes.tolist())
        assert isinstance(bad, ImageError)

    run(test)


def test_candidates_reach_down_to_the_lowest_score_of_the_model(repository: Repository, publish: Publish) -> None:
    publish()

    async def test() -> None:
        canvas, threads = flat(7, 8), []

        def read() -> NDArray[np.uint8]:
            threads.append(threading.current_thread())
            return canvas

        async with running(repository) as service:
            (found,) = (await service.list_candidates([read], None, later())).images
            (bad,) = (await service.list_candidates([lambda: canvas[:32]], None, later())).images
        assert isinstance(found, ImageResult)
        assert found.size == (64, 64)
        assert found.detections.scores.tolist() == [np.float32(toy_card().thresholds.score_floor)]
        assert found.detections.boxes[0, :2].tolist() == [7, 8]
        assert threads != [threading.main_thread()]
        assert isinstance(bad, ImageError)

    run(test)
