"""HEIF: pixels, orientation, the primary image, limits, and malformed files."""

from __future__ import annotations

import random
import sys
from contextlib import suppress

import numpy as np
import pytest

from model_zoo.contract.errors import ImageError, ImageTooLarge, UnsupportedImage
from model_zoo.contract.images import ImageLimits, decode_image, decode_parsed, heif, parse_image, probe
from tests.heif_images import encode_heif, pillow_heif, replaced, resized
from tests.images import exif, gradient_image
from tests.model_zoo.contract.images.pixels import UPRIGHT, assert_close, gray, over_white

SIZE = (64, 96)
GRADIENT = np.asarray(gradient_image(*SIZE)) // np.array([1, 1, 4], np.uint8)  # coding keeps its small steps
ALPHA = GRADIENT[..., :1]
PLAIN = encode_heif(GRADIENT)
GRID = encode_heif(GRADIENT, tile_size=32)
CLEAR = encode_heif(np.concatenate([GRADIENT, ALPHA], axis=-1))


@pytest.mark.parametrize("data", [PLAIN, GRID], ids=["one image", "grid"])
def test_pixels_are_those_of_the_source(data: bytes) -> None:
    assert_close(decode_image(data), GRADIENT, 8)
    assert_close(decode_parsed(parse_image(data), min_size=(8, 8)), GRADIENT, 8)


def test_gray_and_10_bits_become_8_bit_rgb() -> None:
    deep, levels = GRADIENT.astype(np.uint16) * 257, GRADIENT[..., 0]
    assert_close(decode_image(encode_heif(deep)), GRADIENT, 8)
    assert_close(decode_image(encode_heif(levels)), gray(levels), 8)
    assert_close(decode_image(encode_heif(deep[..., 0].copy())), gray(levels), 8)
    assert [probe(encode_heif(image)).depth for image in (deep, levels)] == [10, 8]
    assert [probe(encode_heif(image)).colors for image in (deep, levels)] == ["rgb", "gray"]


def test_transparent_parts_are_white() -> None:
    assert_close(decode_image(CLEAR), over_white(GRADIENT, ALPHA[..., 0], 255), 8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(orientation: int) -> None:
    """The file has the orientation twice, as those of phones: as HEIF's own, and in EXIF."""
    data = encode_heif(GRADIENT, exif=b"Exif\0\0" + exif(orientation))
    assert (b"irot" in data or b"imir" in data) == (orientation > 1)
    expected = UPRIGHT[orientation](GRADIENT)
    assert_close(decode_image(data), expected, 8)
    header = probe(data)
    assert (header.size, header.displayed_size) == (expected.shape[:2], expected.shape[:2])


def test_exif_orientation_alone_is_ignored() -> None:
    data = encode_heif(GRADIENT, exif=b"Exif\0\0" + exif(1))
    assert_close(decode_image(replaced(data, exif(1), exif(6))), GRADIENT, 8)


def test_primary_image_counts() -> None:
    data = encode_heif(GRADIENT[:32, :32].copy(), GRADIENT, primary_index=1, thumbnails=[32])
    assert_close(decode_image(data), GRADIENT, 8)


def test_probe_does_not_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(heif.np, "asarray")
    header = probe(PLAIN)
    assert (header.format, header.size, header.frames) == ("HEIF", SIZE, 1)


class TestLimits:
    def test_pixels_and_bytes(self) -> None:
        decode_image(PLAIN, ImageLimits(max_pixels=64 * 96, max_bytes=len(PLAIN)))
        with pytest.raises(ImageTooLarge, match=r"at most 6,143 pixels.*got 96 x 64"):
            probe(PLAIN, ImageLimits(max_pixels=64 * 96 - 1))
        with pytest.raises(ImageTooLarge, match="bytes"):
            probe(PLAIN, ImageLimits(max_bytes=len(PLAIN) - 1))

    @pytest.mark.parametrize(("data", "coded"), [(PLAIN, 1), (GRID, 6), (CLEAR, 2)])
    def test_work_counts_all_that_is_decoded(self, data: bytes, coded: int) -> None:
        """A small tile counts as a larger one, for it needs a decoder, too."""
        work = 3 * coded * heif.MIN_TILE_PIXELS
        decode_image(data, ImageLimits(max_work=work))
        with pytest.raises(ImageTooLarge, match="bytes of pixels to process"):
            probe(data, ImageLimits(max_work=work - 1))

    def test_declared_size_is_checked_before_decoding(self) -> None:
        with pytest.raises(ImageTooLarge, match="got 60000 x 60000"):
            probe(resized(PLAIN, SIZE, (60_000, 60_000)))

    @pytest.mark.parametrize("declared", [(1, 1), (32, 48), (65, 96), (512, 512)])
    def test_coded_size_must_be_the_declared_one(self, declared: tuple[int, int]) -> None:
        with pytest.raises(ImageError, match=r"expected .*; got .*; "):
            decode_image(resized(PLAIN, SIZE, declared))


class TestStructure:
    def test_tiles_that_repeat_the_bytes_are_refused(self) -> None:
        """Each of 65,535 tiles could otherwise take as long as the whole file."""
        image = GRADIENT.copy()
        image[:32, :32] = np.random.default_rng(0).integers(0, 256, (32, 32, 3))
        data = encode_heif(image, tile_size=32)
        start = data.index(b"dimg\0\1\0\6") + 8
        with pytest.raises(ImageError, match=r"bytes, as the file; got .* with repetitions"):
            probe(data[:start] + data[start : start + 2] * 6 + data[start + 12 :])

    @pytest.mark.parametrize(
        ("kind", "found"), [(b"av01", "av01"), (b"iden", "iden"), (b"iovl", "iovl"), (b"\xff" * 4, "\ufffd" * 4)]
    )
    @pytest.mark.parametrize("data", [PLAIN, GRID], ids=["one image", "grid"])
    def test_other_codings_are_refused(self, data: bytes, kind: bytes, found: str) -> None:
        with pytest.raises(UnsupportedImage, match=f"coded with HEVC \\(hvc1\\); got {found}"):
            probe(data.replace(b"hvc1", kind))

    def test_other_images_do_not_reach_the_decoder(self) -> None:
        data = encode_heif(GRADIENT[:32, :32].copy(), GRADIENT, primary_index=1)
        assert len(pillow_heif.open_heif(data)) == 2
        assert len(pillow_heif.open_heif(parse_image(data).stream)) == 1


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnsupportedImage, match=r"got a HEIC image; .*pip install 'yolo-lineage\[heif\]'"):
        probe(PLAIN)


@pytest.mark.parametrize("data", [PLAIN, GRID], ids=["one image", "grid"])
def test_truncated_files_are_errors(data: bytes) -> None:
    for length in range(12, len(data), max(len(data) // 50, 1)):
        with pytest.raises(ImageError, match=r"expected .*; got .*; "):
            decode_image(data[:length])


@pytest.mark.parametrize("mutations", [40, pytest.param(700, marks=pytest.mark.slow)])
def test_mutated_files_are_errors_or_images(mutations: int) -> None:
    generator = random.Random(0)
    for file in (PLAIN, GRID, CLEAR):
        for _ in range(mutations):
            data = bytearray(file)
            for _ in range(generator.choice((1, 1, 4, 30))):
                data[generator.randrange(8, len(data))] = generator.choice((0, 1, 0x7F, 0xFF, generator.randrange(256)))
            with suppress(ImageError):
                assert decode_image(bytes(data)).ndim == 3
