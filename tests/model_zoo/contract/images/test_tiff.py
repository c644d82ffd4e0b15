"""TIFF layouts in both byte orders, and EXIF orientations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.contract.images import decode_image
from model_zoo.contract.images.tiff import exif_orientation
from tests.images import tiff
from tests.model_zoo.contract.images.pixels import NOISE, NOISE16, RNG, Pixels, assert_close, gray, over_white

ORDERS = pytest.mark.parametrize("order", ["<", ">"], ids=["little endian", "big endian"])


@ORDERS
@pytest.mark.parametrize("layout", [{}, {"rows": 5}, {"deflate": True, "rows": 7}, {"deflate": True, "tile": (16, 32)}])
class TestTiff:
    def test_gray_and_rgb(self, order: str, layout: dict[str, Any]) -> None:
        for pixels in (NOISE, NOISE16):
            eight = pixels if pixels.dtype == np.uint8 else np.floor(pixels / 257 + 0.5)
            assert_close(decode_image(tiff(pixels[..., :3], order, **layout)), eight[..., :3], 0)
            assert_close(decode_image(tiff(pixels[..., 0], order, **layout)), gray(eight[..., 0]), 0)

    def test_min_is_white(self, order: str, layout: dict[str, Any]) -> None:
        data = tiff(NOISE[..., 0], order, photometric=0, **layout)
        assert_close(decode_image(data), gray(255 - NOISE[..., 0]), 0)

    def test_palette(self, order: str, layout: dict[str, Any]) -> None:
        colors = RNG.integers(0, 256, (3, 256))
        data = tiff(NOISE[..., 0], order, photometric=3, tags=[(320, 3, (colors * 257).ravel().tolist())], **layout)
        assert_close(decode_image(data), colors.T[NOISE[..., 0]], 0)

    def test_cmyk(self, order: str, layout: dict[str, Any]) -> None:
        expected = (255.0 - NOISE[..., :3]) * (255.0 - NOISE[..., 3:]) / 255
        assert_close(decode_image(tiff(NOISE, order, photometric=5, **layout)), expected, 1)

    @pytest.mark.parametrize("pixels", [NOISE, NOISE16], ids=["8 bits", "16 bits"])
    def test_alpha_is_drawn_over_white(self, order: str, layout: dict[str, Any], pixels: Pixels) -> None:
        max_value = np.iinfo(pixels.dtype).max
        colors, alpha = pixels[..., :3], pixels[..., 3]
        expected = over_white(colors, alpha, max_value)
        multiplied = np.round(colors * (alpha[..., None] / max_value)).astype(pixels.dtype)
        premultiplied = np.concatenate([multiplied, alpha[..., None]], axis=-1)
        assert_close(decode_image(tiff(pixels, order, extra=2, **layout)), expected, 2)
        assert_close(decode_image(tiff(premultiplied, order, extra=1, **layout)), expected, 2)

    @pytest.mark.parametrize("pixels", [NOISE, NOISE16], ids=["8 bits", "16 bits"])
    def test_fourth_channel_without_alpha_is_ignored(self, order: str, layout: dict[str, Any], pixels: Pixels) -> None:
        expected = pixels[..., :3] / (np.iinfo(pixels.dtype).max / 255)
        assert_close(decode_image(tiff(pixels, order, extra=0, **layout)), expected, 0.5)
        assert_close(decode_image(tiff(pixels, order, **layout)), expected, 0.5)


@settings(max_examples=200)
@given(st.binary(max_size=80), st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""]))
def test_any_exif_block_has_an_orientation(data: bytes, head: bytes) -> None:
    assert 1 <= exif_orientation(head + data) <= 8
