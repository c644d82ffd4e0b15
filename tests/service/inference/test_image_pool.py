"""Decoding and drawing in threads."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

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
from tests.images import striped_jpeg
from tests.service.app_client import PATIENCE, png
from tests.service.conftest import flat
from tests.tiny_onnx import toy_card


def later(seconds: float = PATIENCE) -> RequestContext:
    return RequestContext(asyncio.get_running_loop().time() + seconds)


CARD = toy_card()


def test_decode_returns_a_model_input() -> None:
    async def run() -> None:
        pool = ImagePool(threads=1, queue_size=1)
        item = (await pool.decode(png(flat(1, 2, 3)), CARD, [CARD.input_size], later())).value
        np.testing.assert_array_equal(item.pixels, flat(1, 2, 3))
        with pytest.raises(UnsupportedImage):
            await pool.decode(b"no image", CARD, [CARD.input_size], later())
        await pool.close()
        with pytest.raises(ShuttingDown):
            await pool.decode(png(flat(1)), CARD, [CARD.input_size], later())

    asyncio.run(run())


def test_decode_chooses_a_canvas_and_a_decoded_size() -> None:
    """Decoded at full size, each pixel of the canvas mixes only the central two of eight columns of the file."""
    card = toy_card(size=(128, 64))

    async def decode(exact: bool) -> NDArray[np.uint8]:
        pool = ImagePool(threads=1, queue_size=1, exact=exact)
        item = (await pool.decode(striped_jpeg(512, 200), card, [(128, 64), (64, 64)], later())).value
        await pool.close()
        assert item.geometry.image == (512, 512)
        return item.pixels

    exact, reduced = (asyncio.run(decode(exact)) for exact in (True, False))
    assert exact.shape == reduced.shape == (64, 64, 3)
    np.testing.assert_allclose(exact[..., 0], 200, atol=8)
    np.testing.assert_allclose(reduced[..., 0], 50, atol=8)


def test_prepare_transforms_in_the_thread_of_the_pool() -> None:
    async def threads() -> set[int]:
        pool = ImagePool(threads=1, queue_size=4)
        answers = [await pool.prepare(lambda: flat(1), lambda _: threading.get_ident(), later()) for _ in range(3)]
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
        running = asyncio.create_task(pool.prepare(lambda: flat(1), wait, later()))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(pool.decode(png(flat(2)), CARD, [], later(0.05)))
        await asyncio.sleep(0)
        with pytest.raises(DecodeQueueFull, match="1 images are already waiting for decoding"):
            await pool.decode(png(flat(3)), CARD, [], later())
        with pytest.raises(DeadlineExceeded):
            await waiting
        gate.set()
        assert (await running).value == 1
        with pytest.raises(ImageTooLarge):
            await pool.decode(png(flat(1, size=(65, 64))), CARD, [], later())
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
        tasks = [asyncio.create_task(pool.prepare(partial(flat, n), record, later(), model)) for n, model in jobs]
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
