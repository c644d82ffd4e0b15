"""Cached images: memory limits, EXIF orientation, crowd objects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_zoo.contract.letterbox import LetterboxPolicy
from tests.training.data.loading.records import SIDE, make_record
from training.data.dataset import Record, Split
from training.data.loading import image_cache
from training.data.loading.image_cache import Cache, CachedImages, SharedPixels


def cached_images(records: list[Record], cache: Cache = "off", processes: int = 1) -> CachedImages:
    return CachedImages(records, (SIDE, SIDE), LetterboxPolicy(), cache, processes)


def test_crowd_objects_are_left_out(split: Split) -> None:
    crowd = np.array([False, True, False])
    images = cached_images([replace(split.records[3], crowd=crowd)])
    assert images[0].class_ids.tolist() == [0, 2]


def test_images_are_upright_and_boxes_scaled(tmp_path: Path) -> None:
    stored = np.zeros((40, 80, 3), np.uint8)
    stored[:20, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise for display
    path = tmp_path / "rotated.png"
    Image.fromarray(stored).save(path, exif=exif)
    record = make_record(path, (80, 40), 1)
    record.boxes[:] = (20, 0, 40, 20)
    sample = cached_images([record])[0]
    assert sample.pixels.shape == (64, 32, 3)
    np.testing.assert_array_equal(sample.boxes, [[16, 0, 32, 16]])
    assert sample.pixels[2:14, 18:30].min() == 255
    assert sample.pixels[18:].max() == 0


@pytest.mark.parametrize(
    ("free", "processes", "cached"), [(2.6, 1, True), (2.4, 1, False), (2.6, 2, False), (5.1, 2, True)]
)
def test_auto_caches_images_that_fit_into_memory(
    split: Split, monkeypatch: pytest.MonkeyPatch, free: float, processes: int, cached: bool
) -> None:
    """The caches of all processes may take 0.4 of the free memory."""
    images = cached_images(list(split.records))
    needed = sum(images[index].pixels.nbytes for index in range(len(images)))
    monkeypatch.setattr(image_cache, "free_memory", lambda: int(free * needed))
    images = cached_images(list(split.records), "auto", processes)
    assert np.shares_memory(images[0].pixels, images[0].pixels) == cached


def test_shared_pixels_do_not_overlap_and_are_read_only() -> None:
    pixels = SharedPixels([(2, 3), (4, 1), (1, 1)])
    images = [np.full((*size, 3), value, np.uint8) for value, size in enumerate([(2, 3), (4, 1), (1, 1)], 1)]
    for index in (1, 0, 2):
        assert not pixels.has(index)
        pixels.put(index, images[index])
    for index in range(3):
        np.testing.assert_array_equal(pixels.get(index), images[index])
        with pytest.raises(ValueError, match="read-only"):
            pixels.get(index)[:] = 0
