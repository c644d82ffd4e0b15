"""PNG, WebP and BMP files."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from model_zoo.contract.errors import ImageError
from model_zoo.contract.images import decode_image, probe
from tests.images import bmp, bmp_rows, chunk, ihdr, png, png_of, tiff, vp8x, webp_of
from tests.malformed_images import ordinary_files
from tests.model_zoo.contract.images.pixels import (
    NOISE,
    NOISE16,
    Pixels,
    assert_close,
    decode_with_pillow,
    gray,
    over_white,
)


@pytest.mark.parametrize("encoded", [lambda a: png(a, 0), tiff], ids=["png", "tiff"])
def test_sixteen_bits_are_rounded(encoded: Callable[[Pixels], bytes]) -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert_close(decode_image(encoded(every)), gray(np.floor(every / 257 + 0.5)), 0)


def test_sixteen_bit_png_keeps_color_order() -> None:
    colors = NOISE16[..., :3]
    assert_close(decode_image(png(colors, 2)), np.floor(colors / 257 + 0.5), 0)


def test_sixteen_bit_png_with_alpha_is_drawn_over_white() -> None:
    assert_close(decode_image(png(NOISE16, 6)), over_white(NOISE16[..., :3], NOISE16[..., 3], 65535), 2)


@pytest.mark.parametrize("value", [1000, 65535])
def test_transparent_sixteen_bit_gray_matches_exactly(value: int) -> None:
    data = png(np.asarray([[value, value - 1, 0]], np.uint16), 0, chunk(b"tRNS", value.to_bytes(2)))
    assert decode_image(data)[0, :, 0].tolist() == [255, round((value - 1) / 257), 0]


def test_png_gamma_is_ignored() -> None:
    """Detectors are trained on the stored values, as decoders without color management return them."""
    assert_close(decode_image(png(NOISE[..., :3], 2, chunk(b"gAMA", (100_000).to_bytes(4)))), NOISE[..., :3], 0)


def test_png_interlacing_doubles_the_work() -> None:
    plain, interlaced = (png_of(ihdr(64, 64, interlaced=i), chunk(b"IDAT", b"")) for i in (0, 1))
    assert probe(interlaced).work == 2 * probe(plain).work


def test_webp_canvas_must_have_the_size_of_the_image() -> None:
    for size in ((4, 4), (400, 400)):
        with pytest.raises(ImageError, match="as large as its canvas"):
            probe(webp_of(vp8x(*size), ordinary_files()["webp"][12:]))


class TestBmp:
    def test_top_down_rows(self) -> None:
        pixels = NOISE[..., :3]
        assert_close(decode_image(bmp(bmp_rows(pixels[::-1]), -37, 53, 24)), pixels[..., ::-1], 0)

    @pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
    def test_bit_fields(self, header: int) -> None:
        masks = (0xFF0000, 0xFF00, 0xFF) if header <= 52 else (0xFF, 0xFF00, 0xFF0000)
        data = bmp(bmp_rows(NOISE), 37, 53, 32, compression=3, header=header, masks=masks)
        assert_close(decode_image(data), NOISE[..., 2::-1] if header <= 52 else NOISE[..., :3], 0)

    def test_zero_alpha_is_ignored(self) -> None:
        pixels = NOISE * np.asarray([1, 1, 1, 0], np.uint8)
        data = bmp(bmp_rows(pixels), 37, 53, 32, compression=3, header=108, masks=(0xFF, 0xFF00, 0xFF0000, 0xFF << 24))
        assert_close(decode_image(data), NOISE[..., :3], 0)

    @pytest.mark.parametrize("masks", [(), (0x7C00, 0x3E0, 0x1F), (0xF800, 0x7E0, 0x1F)])
    def test_sixteen_bits(self, masks: tuple[int, ...]) -> None:
        data = bmp(bmp_rows(NOISE16[..., 0]), 37, 53, 16, compression=3 if masks else 0, masks=masks)
        assert_close(decode_image(data), decode_with_pillow(data), 7)  # OpenCV pads five bits with zeros

    def test_run_lengths(self) -> None:
        palette = NOISE[:16, :16].tobytes()
        rows = b"".join(bytes([5, row, 48, row + 1, 0, 0]) for row in range(37)) + b"\0\1"
        data = bmp(rows, 37, 53, 8, compression=1, palette=palette)
        assert_close(decode_image(data), decode_with_pillow(data), 0)
