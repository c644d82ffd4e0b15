"""The images of a split as training takes them: decoded, resized, with their objects; from memory where they fit."""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract import letterbox
from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.images import decode_image
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from training.batch import Sample
from training.config import Cache
from training.data.dataset import Record
from training.data.loading.memory import free_memory

# Of the free memory, what `auto` may take. Shared memory lies in /dev/shm where there is room, which by Linux's default
# is half of all memory and has to hold the batches under way too.
SHARE = 0.4


class CachedImages:
    """The images of some records, each at the size to which the letterbox brings it, not yet on its canvas.

    They are read and resized as the server does it. Objects that are not learned (crowd) are left out.
    cache: `memory` keeps the pixels, in memory that all worker processes share, filled as images are first asked for;
    `auto` does where 0.4 of the free memory is enough for the `processes` that train together; `off` reads anew.
    """

    def __init__(
        self, records: Sequence[Record], size: Size, policy: LetterboxPolicy, cache: Cache, processes: int
    ) -> None:
        self._paths = [record.path for record in records]
        self._stored = [record.size for record in records]
        self._sizes = [letterbox.plan(policy, record.size, size).resized for record in records]
        self._boxes = np.concatenate([record.boxes[~record.crowd] for record in records])
        self._class_ids = np.concatenate([record.class_ids[~record.crowd] for record in records])
        self._starts = np.cumsum([0, *((~record.crowd).sum() for record in records)])
        needed = processes * sum(map(bytes_of, self._sizes))
        cached = cache == "memory" or (cache == "auto" and needed <= SHARE * free_memory())
        self._pixels = SharedPixels(self._sizes) if cached else None

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int, /) -> Sample:
        """Return one image and its objects; LineageError names a file that fails. Its pixels may be read alone."""
        (height, width), (rows, columns) = self._stored[index], self._sizes[index]
        objects = slice(*self._starts[index : index + 2])
        factors = np.array((columns / width, rows / height) * 2, np.float32)
        return Sample(self._read(index), self._boxes[objects] * factors, self._class_ids[objects])

    def _read(self, index: int) -> NDArray[np.uint8]:
        if self._pixels is None:
            return self._decode(index)
        if not self._pixels.has(index):
            self._pixels.put(index, self._decode(index))
        return self._pixels.get(index)

    def _decode(self, index: int) -> NDArray[np.uint8]:
        path, expected, (height, width) = self._paths[index], self._stored[index], self._sizes[index]
        image = _read_image(path)
        if image.shape[:2] != expected:
            came = f"{image.shape[0]} x {image.shape[1]}"
            raise LineageError(f"{path}: expected {expected[0]} x {expected[1]} pixels, as its labels mean; got {came}")
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


class SharedPixels:
    """Room for the pixels of images of known sizes, in memory that worker processes share however they are started."""

    def __init__(self, sizes: Sequence[Size]) -> None:
        self._sizes = sizes
        self._starts = np.cumsum([0, *(bytes_of(size) for size in sizes)])
        self._bytes = multiprocessing.RawArray(ctypes.c_uint8, int(self._starts[-1]))
        self._filled = multiprocessing.RawArray(ctypes.c_bool, len(sizes))

    def has(self, index: int) -> bool:
        """Tell whether an image has been put in."""
        return bool(self._filled[index])

    def put(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """Put an image in; two processes that do so at once write the same."""
        self._view(index)[:] = pixels
        self._filled[index] = True  # last: whoever sees it finds the pixels

    def get(self, index: int) -> NDArray[np.uint8]:
        """Return an image that is there, not to be written to."""
        view = self._view(index)
        view.flags.writeable = False
        return view

    def _view(self, index: int) -> NDArray[np.uint8]:
        size, start = self._sizes[index], int(self._starts[index])
        return np.frombuffer(memoryview(self._bytes), np.uint8, bytes_of(size), start).reshape(*size, 3)


def bytes_of(size: Size) -> int:
    """Return the bytes of an image."""
    return size[0] * size[1] * 3


def _read_image(path: Path) -> NDArray[np.uint8]:
    try:
        return decode_image(path.read_bytes())
    except OSError as error:
        raise LineageError(f"{path}: expected an image that can be read; got: {error.strerror}") from error
    except ImageError as error:
        raise LineageError(f"{path}: {error}") from error
