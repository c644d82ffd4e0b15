"""Live sources: the newest frame wins, lost connections, and the end."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from model_zoo.contract.errors import ImageError
from model_zoo.contract.frames import Load
from model_zoo.sources import live
from model_zoo.sources.live import LiveSource

NO_DELAYS = (0.0,) * 3


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "JOIN_SECONDS", 0.01)


def pixels(number: int) -> Load:
    return lambda: np.full((2, 2, 3), number, np.uint8)


class Camera:
    """A camera with a frame for each read, which loses its connection after the last one."""

    def __init__(self, *connections: int) -> None:
        self._connections = iter(connections)
        self._numbers = itertools.count()
        self.tries = 0

    def connect(self) -> Iterator[Load]:
        self.tries += 1
        count = next(self._connections, 0)
        if not count:
            raise ImageError("connection refused")
        return (pixels(next(self._numbers)) for _ in range(count))


def numbers(source: LiveSource) -> list[int | None]:
    return [frame.index for frame in source]


def test_frames_that_nobody_waited_for_are_dropped() -> None:
    first_is_taken, all_are_sent = threading.Event(), threading.Event()

    def frames() -> Iterator[Load]:
        yield pixels(0)
        first_is_taken.wait(10)
        yield from map(pixels, range(1, 100))
        all_are_sent.set()
        threading.Event().wait(10)

    source = LiveSource("camera", frames)
    iterator = iter(source)
    assert next(iterator).index == 0
    first_is_taken.set()
    all_are_sent.wait(10)
    frame = next(iterator)
    assert (frame.index, int(frame.pixels().max())) == (99, 99)
    assert frame.time is not None
    assert frame.time > 0
    source.stop()
    assert list(iterator) == []


def test_lost_connection_is_opened_again_and_numbers_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "DELAYS", NO_DELAYS)
    camera = Camera(1, 0, 0, 1)
    source = LiveSource("rtsp://camera", camera.connect, camera.connect())
    with caplog.at_level(logging.WARNING):
        *frames, last = source
    assert [frame.index for frame in frames][-1] == 1
    with pytest.raises(ImageError, match=r"^lost, 3 attempts .* refused"):
        last.load()
    assert camera.tries == 4 + 3, "a frame resets the count of attempts"
    assert "rtsp://camera: connection lost (connection refused), connecting again in 0 s" in caplog.messages
    assert source._received == 2


@pytest.mark.parametrize("waiting", [True, False])
def test_stop_ends_it_while_it_waits(waiting: bool) -> None:
    """For a frame, and before it connects again."""

    def frames() -> Iterator[Load]:
        yield pixels(0)
        if waiting:
            threading.Event().wait(3)

    source = LiveSource("camera", frames)
    iterator = iter(source)
    next(iterator)
    threading.Timer(0.05, source.stop).start()
    assert list(iterator) == []


def test_broken_reader_ends_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    def frames() -> Iterator[Load]:
        yield pixels(0)
        raise MemoryError

    caught: list[object] = []
    monkeypatch.setattr(threading, "excepthook", caught.append)
    assert numbers(LiveSource("camera", frames)) == [0]
    assert len(caught) == 1
