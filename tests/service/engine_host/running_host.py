"""An engine host in a thread of this process, on a real Unix socket."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import OpenEngine
from service.engine_host.host import EngineHost

needs_memfd = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="several processes need Linux")


@contextmanager
def running_host(folder: Path, open_engine: OpenEngine, max_delay: float = 0.0) -> Iterator[str]:
    """Yield the address of a host."""
    address = str(folder / "engines.sock")
    started: Future[Callable[[], object]] = Future()

    async def serve() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task
        started.set_result(partial(loop.call_soon_threadsafe, task.cancel))
        with suppress(asyncio.CancelledError):
            await EngineHost(open_engine, max_delay).serve(listening)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            yield address
        finally:
            started.result()()
            thread.join()


def image_feeds(red: int, size: tuple[int, int], score: float = 0.25) -> Feeds:
    """Return the inputs of one image of one color."""
    images = np.zeros((1, *size, 3), np.uint8)
    images[..., 0] = red
    thresholds = {"score_threshold": score, "iou_threshold": 0.5, "distance_weight": 1.0}
    return {"images": images, **{name: np.array([value], np.float32) for name, value in thresholds.items()}}
