"""An engine in the engine host, as a front end sees it.

    open_engine = RemoteEngines(address)      # takes the place of `model_zoo.runtime.open.open_engine`
    engine = open_engine(package, options)

Each run uses a connection of its own, with memory for one image. Connections are kept for later runs. The kernel closes
them and frees the memory when either process ends, whatever the reason.
"""

from __future__ import annotations

import math
import mmap
import os
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import EngineOptions, Outputs, check_batch
from service.engine_host.messages import Document, describe_package, pack, parse_choice, raise_error, receive


class RemoteEngines:
    """Opens engines in the host that listens at an address."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._last: WeakValueDictionary[tuple[Package, EngineOptions], RemoteEngine] = WeakValueDictionary()

    def __call__(self, package: Package, options: EngineOptions) -> RemoteEngine:
        """Open an engine, or share the one that is open, unless this process has seen that one fail.

        Raises:
            LineageError: the host cannot open it.
            OSError: the host has ended.
        """
        last = self._last.get((package, options))
        broken = last.id if last and last.is_suspect else None
        engine = self._last[package, options] = RemoteEngine(self._address, package, options, broken)
        return engine


class _Connection:
    """A connection to one engine, with shared memory for one image."""

    def __init__(self, address: str, size: int, opening: Document) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        descriptor = os.memfd_create("lineage-image")
        try:
            os.ftruncate(descriptor, size)
            self._memory = np.frombuffer(mmap.mmap(descriptor, size), np.uint8)
            self._socket.connect(address)
            socket.send_fds(self._socket, [pack(opening)], [descriptor])
            self.opened, _ = receive(self._socket)
            raise_error(self.opened)
        except BaseException:
            self._socket.close()
            raise
        finally:
            os.close(descriptor)

    def ask(self, question: Document, image: NDArray[np.generic] | None = None) -> tuple[Document, bytes]:
        """Send a message, with an image in the memory, and return the answer."""
        if image is not None:
            self._memory[: image.size] = image.reshape(-1)
        self._socket.sendall(pack(question))
        return receive(self._socket)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class RemoteEngine:
    """An engine of the host. It takes one image per run: the host makes batches of the images of all front ends."""

    max_batch = 1

    def __init__(self, address: str, package: Package, options: EngineOptions, broken: str | None = None) -> None:
        """Open the engine, another one than `broken`."""
        self.card = options.resize(package.card)
        self._address = address
        self._opening: Document = {"package": describe_package(package), "options": asdict(options), "broken": broken}
        first = self._connect()
        opened = first.opened
        self.id = str(opened["id"])
        self._opening = {"id": self.id}
        self._idle = deque([first])
        self._under_way, self._failed, self._closed = 0, False, False
        self.device, self.workers = str(opened["device"]), int(opened["runs"])
        self.choice = parse_choice(opened["choice"])
        self._canvases: list[Size] = [(height, width) for height, width in opened["canvases"]]

    @property
    def canvases(self) -> Sequence[Size]:
        """Canvas sizes (height, width) that are ready to run."""
        return self._canvases

    @property
    def is_suspect(self) -> bool:
        """Return True if the last run failed, or one has not returned."""
        return self._failed or self._under_way > 0

    def run(self, feeds: Feeds) -> Outputs:
        """Run one image.

        Raises:
            OSError: the host has ended.
            RemoteError: the engine failed.
        """
        check_batch(feeds, self.max_batch)
        height, width = feeds["images"].shape[1:3]
        thresholds = [float(feeds[name][0]) for name in ("score_threshold", "iou_threshold", "distance_weight")]
        answer, data = self._ask({"canvas": [height, width], "thresholds": thresholds}, feeds["images"])
        rows = np.frombuffer(data, np.float32).reshape(1, *answer["shape"])
        return rows, np.array([answer["count"]], np.int32)

    def warm_up(self) -> None:
        """Warm the engine up, unless another front end has done so."""
        self._ask({"warm_up": True})

    def close(self) -> None:
        """Close the connections. The host closes an engine that has none."""
        self._closed = True
        self._close_idle()

    def _ask(self, question: Document, image: NDArray[np.generic] | None = None) -> tuple[Document, bytes]:
        self._under_way += 1
        try:
            answer, data = self._exchange(question, image)
            raise_error(answer)
        except Exception:
            self._failed = True
            raise
        finally:
            self._under_way -= 1
        self._failed = False
        return answer, data

    def _exchange(self, question: Document, image: NDArray[np.generic] | None) -> tuple[Document, bytes]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            answer = connection.ask(question, image)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if self._closed:
            self._close_idle()
        return answer

    def _connect(self) -> _Connection:
        return _Connection(self._address, math.prod(self.card.input_size) * 3, self._opening)

    def _close_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().close()
