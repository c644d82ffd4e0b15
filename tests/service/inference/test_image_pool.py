"""Decoding and drawing in threads."""

from __future__ import annotations

import asyncio
import threading

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import ImageTooLarge, UnsupportedImage
from model_zoo.contract.images import ImageLimits
from service.inference.errors import DeadlineExceeded, DecodeQueueFull, ShuttingDown
from service.inference.image_pool import ImagePool
from service.inference.request import RequestContext
from tests.service.app_client import PATIENCE, png
from tests.service.conftest import flat


def later(seconds: float = PATIENCE) -> RequestContext:
    return RequestContext(asyncio.get_running_loop().time() + seconds)


def test_decode_returns_the_transformed_image() -> None:
    async def run() -> None:
        pool = ImagePool(threads=1, queue_size=1)
        image = (await pool.decode(png(flat(1, 2, 3)), lambda image: image, later())).value
        np.testing.assert_array_equal(image, flat(1, 2, 3))
        with pytest.raises(UnsupportedImage):
            await pool.decode(b"no image", lambda image: image, later())
        await pool.close()
        with pytest.raises(ShuttingDown):
            await pool.decode(png(flat(1)), lambda image: image, later())

    asyncio.run(run())


def test_decode_transforms_in_the_thread_of_the_pool() -> None:
    async def threads() -> set[int]:
        pool = ImagePool(threads=1, queue_size=4)
        answers = [await pool.decode(png(flat(n)), lambda _: threading.get_ident(), later()) for n in range(3)]
        used = {answer.value for answer in answers}
        await pool.close()
        return used

    used = asyncio.run(threads())
    assert len(used) == 1
    assert threading.get_ident() not in used


def test_decode_checks_limits_queue_and_deadline() -> None:
    gate = threading.Event()

    def wait(image: NDArray[np.uint8]) -> int:
        gate.wait(PATIENCE)
        return int(image[0, 0, 0])

    async def run() -> None:
        pool = ImagePool(threads=1, queue_size=1, limits=ImageLimits(max_pixels=64 * 64))
        running = asyncio.create_task(pool.decode(png(flat(1)), wait, later()))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(pool.decode(png(flat(2)), wait, later(0.05)))
        await asyncio.sleep(0)
        with pytest.raises(DecodeQueueFull, match="1 images are already waiting for decoding"):
            await pool.decode(png(flat(3)), wait, later())
        with pytest.raises(DeadlineExceeded):
            await waiting
        gate.set()
        assert (await running).value == 1
        with pytest.raises(ImageTooLarge):
            await pool.decode(png(flat(1, size=(65, 64))), wait, later())
        await pool.close()

    asyncio.run(run())


def test_models_take_turns() -> None:
    gate, order = threading.Event(), []

    def record(image: NDArray[np.uint8]) -> None:
        gate.wait(PATIENCE)
        order.append(int(image[0, 0, 0]))

    async def run() -> None:
        pool = ImagePool(threads=1, queue_size=8)
        jobs = [(1, "busy"), (2, "busy"), (3, "busy"), (4, "busy"), (5, "light")]
        tasks = [asyncio.create_task(pool.decode(png(flat(n)), record, later(), model)) for n, model in jobs]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*tasks)
        await pool.close()

    asyncio.run(run())
    assert order == [1, 2, 5, 3, 4]


def test_draw_returns_a_jpeg_with_boxes() -> None:
    async def draw() -> bytes:
        pool = ImagePool(threads=1, queue_size=1)
        boxes = np.asarray([[20, 20, 60, 60]], np.float32)
        detections = Detections(boxes, np.ones(1, np.float32), np.zeros(1, np.int64))
        jpeg = await pool.draw(png(flat(0, 0, 0, (100, 100))), detections, ["red"], later())
        await pool.close()
        return jpeg

    drawn = cv2.imdecode(np.frombuffer(asyncio.run(draw()), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert drawn.shape == (100, 100, 3)
    assert drawn[40, 20].max() > 100
    assert drawn[40, 40].max() < 50
