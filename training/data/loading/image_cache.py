"""Decoded and resized training images, kept in shared memory if they fit."""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract import letterbox
from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.images import decode_image
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from training.batch import Sample
from training.data.dataset import Record
from training.data.loading.memory import free_memory

Cache = Literal["auto", "memory", "off"]
# Fraction of the free memory that `auto` may use. Shared memory is usually in /dev/shm, which by default holds half of
# all memory on Linux and has to hold the batches in flight too.
MAX_MEMORY_FRACTION = 0.4


class CachedImages:
    """The images of some records, each resized as the letterbox does but not yet padded.

    Images are decoded and resized as in serving. Crowd objects are left out.
    """

    def __init__(
        self, records: Sequence[Record], size: Size, policy: LetterboxPolicy, cache: Cache, processes: int
    ) -> None:
        """Allocate the cache, which is filled as images are requested.

        Args:
            records: Images and their objects.
            size: Height and width of the letterbox.
            policy: Letterbox policy.
            cache: `memory` keeps pixels in memory shared by all worker processes. `auto` does so if 0.4 of the free
                memory suffices. `off` reads images each time.
            processes: Training processes on this machine, each with its own cache.
        """
        self._paths = [record.path for record in records]
        self._stored = [record.size for record in records]
        self._sizes = [letterbox.plan(policy, record.size, size).resized for record in records]
        self._boxes = np.concatenate([record.boxes[~record.crowd] for record in records])
        self._class_ids = np.concatenate([record.class_ids[~record.crowd] for record in records])
        self._starts = np.cumsum([0, *((~record.crowd).sum() for record in records)])
        needed = processes * sum(map(image_bytes, self._sizes))
        cached = cache == "memory" or (cache == "auto" and needed <= MAX_MEMORY_FRACTION * free_memory())
        self._pixels = SharedPixels(self._sizes) if cached else None

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int, /) -> Sample:
        """Return an image and its objects. The pixels may be read-only.

        Raises:
            LineageError: The image file cannot be read or has changed its size.
        """
        (height, width), (rows, columns) = self._stored[index], self._sizes[index]
        objects = slice(*self._starts[index : index + 2])
        factors = np.array((columns / width, rows / height) * 2, np.float32)
        return Sample(self._load(index), self._boxes[objects] * factors, self._class_ids[objects])

    def _load(self, index: int) -> NDArray[np.uint8]:
        if self._pixels is None:
            return self._decode(index)
        if not self._pixels.has(index):
            self._pixels.put(index, self._decode(index))
        return self._pixels.get(index)

    def _decode(self, index: int) -> NDArray[np.uint8]:
        path, expected, (height, width) = self._paths[index], self._stored[index], self._sizes[index]
        image = _read_image(path)
        if image.shape[:2] != expected:
            text = f"expected {format_size(expected)} pixels, as when the dataset was opened"
            raise LineageError(
                f"{path}: {text}; got {format_size(image.shape)}; restore the image or start the run again"
            )
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


class SharedPixels:
    """Pixels of images of known sizes, in memory that worker processes share with any start method."""

    def __init__(self, sizes: Sequence[Size]) -> None:
        self._sizes = sizes
        self._starts = np.cumsum([0, *(image_bytes(size) for size in sizes)])
        self._bytes = multiprocessing.RawArray(ctypes.c_uint8, int(self._starts[-1]))
        self._filled = multiprocessing.RawArray(ctypes.c_bool, len(sizes))

    def has(self, index: int) -> bool:
        """Return whether an image is stored."""
        return bool(self._filled[index])

    def put(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """Store an image. Processes that do so at the same time write the same bytes."""
        self._view(index)[:] = pixels
        self._filled[index] = True  # last, so that a process that sees it finds the pixels

    def get(self, index: int) -> NDArray[np.uint8]:
        """Return a read-only view of a stored image."""
        view = self._view(index)
        view.flags.writeable = False
        return view

    def _view(self, index: int) -> NDArray[np.uint8]:
        size, start = self._sizes[index], int(self._starts[index])
        return np.frombuffer(memoryview(self._bytes), np.uint8, image_bytes(size), start).reshape(*size, 3)


def image_bytes(size: Size) -> int:
    """Return the bytes of an RGB image."""
    return size[0] * size[1] * 3


def _read_image(path: Path) -> NDArray[np.uint8]:
    try:
        return decode_image(path.read_bytes())
    except OSError as error:
        raise LineageError(f"{path}: cannot read the image: {error.strerror}") from error
    except ImageError as error:
        raise LineageError(f"{path}: {error}") from error
