"""JPEG files: their end, and the work of their scans."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from model_zoo.contract.errors import ImageError
from model_zoo.contract.images import decode_image, probe
from tests.images import encode, scan_bomb
from tests.malformed_images import ordinary_files
from tests.model_zoo.contract.images.pixels import NOISE, assert_close


class TestEndOfJpeg:
    def test_trailing_data_is_ignored(self) -> None:
        data = ordinary_files()["jpeg"]
        assert_close(decode_image(data + ordinary_files()["jpeg cmyk"]), decode_image(data), 0)

    @pytest.mark.parametrize("seed", range(20))
    def test_missing_end_marker_is_accepted(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        pixels = rng.integers(0, 256, (*rng.integers(1, 90, 2), 3), np.uint8)
        data = encode(Image.fromarray(pixels), "JPEG", quality=int(rng.integers(5, 100)))
        assert_close(decode_image(data[:-2]), decode_image(data), 0)

    @pytest.mark.parametrize("end", [b"", b"\xff\xd9"], ids=["open", "closed"])
    @pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
    def test_missing_rows_are_an_error(self, part: float, end: bytes) -> None:
        data = encode(Image.fromarray(NOISE[..., :3]), "JPEG")
        start = data.index(b"\xff\xda")
        with pytest.raises(ImageError, match="53 x 37 pixels, as in the header"):
            decode_image(data[: start + int((len(data) - start) * part)].rstrip(b"\xff") + end)


def test_work_grows_with_the_scans() -> None:
    few, many = (probe(scan_bomb(800, 800, scans)) for scans in (10, 110))
    assert many.scans == few.scans + 100
    assert many.work - few.work == 100 * 63 * 100 * 100 // 4
