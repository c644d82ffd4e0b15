"""Images of the decoding benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.decode import enlarged, tile
from model_zoo.contract.images import probe
from tests.images import encode, gradient_image
from training.data.dataset import Record


def test_enlarged_image_has_enlarged_boxes(tmp_path: Path) -> None:
    (tmp_path / "small.jpg").write_bytes(encode(gradient_image(30, 40), "JPEG"))
    box, one = np.asarray([[1, 2, 3, 4]], np.float32), np.ones(1, np.int64)
    record = Record(tmp_path / "small.jpg", (30, 40), box, one, one > 1, np.ones(1, np.float32), image_id=7)
    large = enlarged(record, 3, tmp_path)
    assert probe(large.path.read_bytes()).size == large.size == (90, 120)
    assert large.boxes.tolist() == [[3, 6, 9, 12]]
    assert (large.path.name, large.image_id) == ("7.jpg", 7)


def test_tiles_fill_the_image() -> None:
    image = tile([np.full((30, 40, 3), gray, np.uint8) for gray in (10, 20, 30)], (700, 1500))
    assert image.shape == (700, 1500, 3)
    assert [int(image[y, x, 0]) for y in (0, 600) for x in (0, 700, 1400)] == [10, 20, 30, 10, 20, 30]
