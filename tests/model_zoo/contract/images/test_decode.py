"""Good pictures of every coding come out as people see them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_zoo.contract.errors import ImageError, ImageTooLarge, UnsupportedImage
from model_zoo.contract.images import ImageHeader, ImageLimits, decode, decode_image, probe
from tests.images import (
    bmp,
    bmp_rows,
    chunk,
    encode,
    exif,
    flat_jpeg,
    flat_png,
    ihdr,
    photo,
    png,
    png_of,
    riff_chunk,
    scan_bomb,
    tiff,
    vp8x,
    webp_of,
    with_exif,
)
from tests.malformed_images import ordinary_files

Pixels = NDArray[Any]
ORDERS = pytest.mark.parametrize("order", ["<", ">"], ids=["little endian", "big endian"])
ALPHA = Image.fromarray((np.mgrid[0:37, 0:53][1] * 5 % 256).astype(np.uint8))
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (37, 53, 4), np.uint8)
NOISE16 = RNG.integers(0, 65536, (37, 53, 4), np.uint16)
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def with_alpha(mode: str) -> Image.Image:
    image = photo().convert(mode)
    image.putalpha(ALPHA)
    return image


def as_pillow_sees(data: bytes) -> Pixels:
    image = Image.open(io.BytesIO(data))
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return np.asarray(white.convert("RGB"))


def over_white(colors: Pixels, alpha: Pixels, most: int) -> Pixels:
    """Composite on white, in floats of 0..255."""
    part = alpha[..., None] / most
    return (colors / most * part + 1 - part) * 255


def assert_close(came: Pixels, expected: Pixels, most: float) -> None:
    assert came.dtype == np.uint8
    assert came.shape == expected.shape
    assert came.flags.c_contiguous
    assert np.abs(came.astype(np.float64) - expected).max() <= most


def gray(values: Pixels) -> Pixels:
    return np.repeat(values[..., None], 3, axis=-1)


def pillow_files() -> dict[str, bytes]:
    image, palette = photo(), photo().quantize(16)
    cmyk = encode(image.convert("CMYK"), "JPEG")
    files = {
        "jpeg 4:4:4": encode(image, "JPEG", subsampling=0),
        "jpeg poor": encode(image, "JPEG", quality=15),
        "jpeg gray": encode(image.convert("L"), "JPEG"),
        "jpeg gray progressive": encode(image.convert("L"), "JPEG", progressive=True),
        "jpeg cmyk progressive": encode(image.convert("CMYK"), "JPEG", progressive=True),
        "jpeg ycck": cmyk.replace(b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\2"),
        "jpeg tiny": encode(photo(1, 1), "JPEG"),
        "jpeg mpo": encode(image, "MPO", save_all=True, append_images=[photo(9, 9)]),
        "png 1 bit": encode(image.convert("1"), "PNG"),
        "png gray": encode(image.convert("L"), "PNG"),
        "png gray and alpha": encode(with_alpha("L"), "PNG"),
        "png palette, 4 bits": encode(palette, "PNG", bits=4),
        "png palette with transparency": encode(palette, "PNG", transparency=bytes(range(0, 256, 16))),
        "png gray with a transparent value": encode(image.convert("L"), "PNG", transparency=40),
        "png with a transparent color": encode(image, "PNG", transparency=(0, 0, 0)),
        "webp gray": encode(image.convert("L"), "WEBP"),
        "webp lossless alpha": encode(with_alpha("RGB"), "WEBP", lossless=True, exact=True),
        "bmp gray": encode(image.convert("L"), "BMP"),
        "bmp 1 bit": encode(image.convert("1"), "BMP"),
    }
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"):
        for mode in ("1", "L", "P", "RGB", "CMYK"):
            name = f"tiff {mode} {compression}"
            files[name] = encode(image.convert(mode), "TIFF", compression=compression)
    return {**ordinary_files(), **files}


@pytest.mark.parametrize("name", pillow_files())
def test_pixels_are_those_that_pillow_sees(name: str) -> None:
    data = pillow_files()[name]
    assert_close(decode_image(data), as_pillow_sees(data), 2)


def test_adobe_marker_of_the_ycck_file_is_where_it_was_sought() -> None:
    assert pillow_files()["jpeg ycck"] != ordinary_files()["jpeg cmyk"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff <", "tiff >", "tiff 16 bits"])
def test_orientation_is_applied_once(kind: str, orientation: int) -> None:
    image = photo(16, 24)
    block, pixels = exif(orientation, "<" if orientation % 2 else ">"), np.asarray(image)
    tag = [(274, 3, [orientation])]
    data = {
        "jpeg": lambda: with_exif(encode(image, "JPEG", quality=100, subsampling=0), block),
        "png": lambda: png(pixels, 2, chunk(b"eXIf", block)),
        "webp": lambda: webp_of(
            vp8x(16, 24, 8), encode(image, "WEBP", lossless=True)[12:], riff_chunk(b"EXIF", b"Exif\0\0" + block)
        ),
        "tiff <": lambda: tiff(pixels, "<", tags=tag),
        "tiff >": lambda: tiff(pixels, ">", tags=tag, deflate=True),
        "tiff 16 bits": lambda: tiff(pixels.astype(np.uint16) * 257, tags=tag),
    }[kind]()
    expected = UPRIGHT[orientation](pixels)
    assert_close(decode_image(data), expected, 3 if kind == "jpeg" else 0)
    header = probe(data)
    assert (header.size, header.displayed_size, header.orientation) == ((16, 24), expected.shape[:2], orientation)


@pytest.mark.parametrize("encoded", [lambda a: png(a, 0), tiff], ids=["png", "tiff"])
def test_sixteen_bits_are_rounded(encoded: Callable[[Pixels], bytes]) -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert_close(decode_image(encoded(every)), gray(np.floor(every / 257 + 0.5)), 0)


def test_sixteen_bit_png_keeps_the_order_of_colors() -> None:
    colors = NOISE16[..., :3]
    assert_close(decode_image(png(colors, 2)), np.floor(colors / 257 + 0.5), 0)


def test_sixteen_bit_png_with_alpha_is_drawn_over_white() -> None:
    assert_close(decode_image(png(NOISE16, 6)), over_white(NOISE16[..., :3], NOISE16[..., 3], 65535), 2)


@pytest.mark.parametrize("value", [1000, 65535])
def test_transparent_value_of_sixteen_bit_gray_is_exact(value: int) -> None:
    data = png(np.asarray([[value, value - 1, 0]], np.uint16), 0, chunk(b"tRNS", value.to_bytes(2)))
    assert decode_image(data)[0, :, 0].tolist() == [255, round((value - 1) / 257), 0]


def test_png_gamma_changes_nothing() -> None:
    """Detectors are trained on the numbers in the file, as every decoder without color management gives them."""
    assert_close(decode_image(png(NOISE[..., :3], 2, chunk(b"gAMA", (100_000).to_bytes(4)))), NOISE[..., :3], 0)


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
        most = np.iinfo(pixels.dtype).max
        colors, alpha = pixels[..., :3], pixels[..., 3]
        expected = over_white(colors, alpha, most)
        multiplied = np.round(colors * (alpha[..., None] / most)).astype(pixels.dtype)
        premultiplied = np.concatenate([multiplied, alpha[..., None]], axis=-1)
        assert_close(decode_image(tiff(pixels, order, extra=2, **layout)), expected, 2)
        assert_close(decode_image(tiff(premultiplied, order, extra=1, **layout)), expected, 2)

    @pytest.mark.parametrize("pixels", [NOISE, NOISE16], ids=["8 bits", "16 bits"])
    def test_a_fourth_channel_that_is_no_alpha_is_left_out(
        self, order: str, layout: dict[str, Any], pixels: Pixels
    ) -> None:
        expected = pixels[..., :3] / (np.iinfo(pixels.dtype).max / 255)
        assert_close(decode_image(tiff(pixels, order, extra=0, **layout)), expected, 0.5)
        assert_close(decode_image(tiff(pixels, order, **layout)), expected, 0.5)


class TestBmp:
    def test_rows_from_the_top(self) -> None:
        pixels = NOISE[..., :3]
        assert_close(decode_image(bmp(bmp_rows(pixels[::-1]), -37, 53, 24)), pixels[..., ::-1], 0)

    @pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
    def test_bit_fields(self, header: int) -> None:
        masks = (0xFF0000, 0xFF00, 0xFF) if header <= 52 else (0xFF, 0xFF00, 0xFF0000)
        data = bmp(bmp_rows(NOISE), 37, 53, 32, compression=3, header=header, masks=masks)
        assert_close(decode_image(data), NOISE[..., 2::-1] if header <= 52 else NOISE[..., :3], 0)

    def test_alpha_of_zero_hides_nothing(self) -> None:
        pixels = NOISE * np.asarray([1, 1, 1, 0], np.uint8)
        data = bmp(bmp_rows(pixels), 37, 53, 32, compression=3, header=108, masks=(0xFF, 0xFF00, 0xFF0000, 0xFF << 24))
        assert_close(decode_image(data), NOISE[..., :3], 0)

    @pytest.mark.parametrize("masks", [(), (0x7C00, 0x3E0, 0x1F), (0xF800, 0x7E0, 0x1F)])
    def test_sixteen_bits(self, masks: tuple[int, ...]) -> None:
        data = bmp(bmp_rows(NOISE16[..., 0]), 37, 53, 16, compression=3 if masks else 0, masks=masks)
        assert_close(decode_image(data), as_pillow_sees(data), 7)  # OpenCV fills up five bits with zeros

    def test_run_lengths(self) -> None:
        palette = NOISE[:16, :16].tobytes()
        rows = b"".join(bytes([5, row, 48, row + 1, 0, 0]) for row in range(37)) + b"\0\1"
        data = bmp(rows, 37, 53, 8, compression=1, palette=palette)
        assert_close(decode_image(data), as_pillow_sees(data), 0)


def test_photos_are_those_that_training_sees(shared: Path) -> None:
    """COCO images have no orientation: the plain decoder of the training code must see the same."""
    photos = sorted((shared / "data/coco_mini/images").rglob("*.jpg"))[:20]
    assert photos
    for path in photos:
        data = path.read_bytes()
        plain = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert plain is not None
        assert_close(decode_image(data), plain, 0)


def test_every_kind_of_bytes_is_taken() -> None:
    data = ordinary_files()["png"]
    for kind in (bytes, bytearray, memoryview):
        assert_close(decode_image(kind(data)), np.asarray(photo()), 0)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("jpeg", ImageHeader("JPEG", (37, 53), scans=1)),
        ("jpeg progressive", ImageHeader("JPEG", (37, 53), scans=10)),
        ("png alpha", ImageHeader("PNG", (37, 53))),
        ("webp lossless", ImageHeader("WebP", (37, 53))),
        ("webp alpha", ImageHeader("WebP", (37, 53))),
        ("tiff lzw", ImageHeader("TIFF", (37, 53))),
        ("bmp", ImageHeader("BMP", (37, 53))),
    ],
)
def test_probe_decodes_nothing(name: str, header: ImageHeader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(decode.cv2, "imdecode")
    came = probe(ordinary_files()[name])
    assert came.work >= 37 * 53 // 2
    assert (came.format, came.size, came.orientation, came.frames, came.scans) == (
        header.format,
        header.size,
        1,
        1,
        header.scans,
    )


@pytest.mark.parametrize(
    ("data", "colors", "depth"),
    [
        *((data, "cmyk" if name == "jpeg cmyk" else "rgb", 8) for name, data in ordinary_files().items()),
        *((encode(photo().convert("L"), kind), "gray", 8) for kind in ("JPEG", "PNG", "TIFF")),
        (encode(photo().convert("LA"), "PNG"), "gray", 8),
        (encode(photo().convert("1"), "PNG"), "gray", 1),
        (encode(photo().convert("CMYK"), "TIFF"), "cmyk", 8),
        (png(np.zeros((3, 4, 3), np.uint16), 2), "rgb", 16),
        (tiff(np.zeros((3, 4), np.uint16)), "gray", 16),
    ],
)
def test_the_header_tells_colors_and_depth(data: bytes, colors: str, depth: int) -> None:
    header = probe(data)
    assert (header.colors, header.depth) == (colors, depth)


class TestLimits:
    def test_bytes(self) -> None:
        data = ordinary_files()["png"]
        decode_image(data, ImageLimits(max_bytes=len(data)))
        with pytest.raises(ImageTooLarge, match=r"at most \d+ bytes; got \d+; scale"):
            decode_image(data, ImageLimits(max_bytes=len(data) - 1))

    @pytest.mark.parametrize("name", ordinary_files())
    def test_pixels(self, name: str) -> None:
        data = ordinary_files()[name]
        decode_image(data, ImageLimits(max_pixels=37 * 53))
        with pytest.raises(ImageTooLarge, match=r"at most 1,960 pixels.*got 37 x 53"):
            probe(data, ImageLimits(max_pixels=37 * 53 - 1))

    @pytest.mark.parametrize("name", ordinary_files())
    def test_work(self, name: str) -> None:
        data = ordinary_files()[name]
        work = probe(data).work
        decode_image(data, ImageLimits(max_work=work))
        with pytest.raises(ImageTooLarge, match="pixels to handle"):
            probe(data, ImageLimits(max_work=work - 1))

    def test_what_phones_write_is_taken(self) -> None:
        pixels = chunk(b"IDAT", b"not looked at")
        pngs = [png_of(ihdr(6936, 9248), pixels), png_of(ihdr(5000, 10_000, color=6), pixels)]
        for data in (flat_jpeg(6936, 9248), scan_bomb(6936, 9248, 8), *pngs):
            assert probe(data).size[1] >= 9248

    def test_work_grows_with_the_scans(self) -> None:
        few, many = (probe(scan_bomb(800, 800, scans)) for scans in (10, 110))
        assert many.scans == few.scans + 100
        assert many.work - few.work == 100 * 63 * 100 * 100 // 4

    def test_interlaced_pictures_are_twice_the_work(self) -> None:
        plain, interlaced = (png_of(ihdr(64, 64, interlaced=i), chunk(b"IDAT", b"")) for i in (0, 1))
        assert probe(interlaced).work == 2 * probe(plain).work

    def test_sides(self) -> None:
        with pytest.raises(ImageTooLarge, match="sides up to 65,535"):
            probe(flat_png(65_536, 1))


def test_the_decoder_must_keep_the_promise_of_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (None, np.zeros((53, 37, 3), np.uint8), np.zeros((37, 53), np.float32)):
        monkeypatch.setattr(decode.cv2, "imdecode", lambda *_, wrong=wrong: wrong)
        with pytest.raises(ImageError, match="37 x 53 pixels, as the header promises"):
            decode_image(ordinary_files()["png"])


def test_webp_canvas_must_be_the_picture() -> None:
    for size in ((4, 4), (400, 400)):
        with pytest.raises(ImageError, match="as large as its canvas"):
            probe(webp_of(vp8x(*size), ordinary_files()["webp"][12:]))


class TestEndOfJpeg:
    def test_what_follows_the_first_picture_is_not_read(self) -> None:
        data = ordinary_files()["jpeg"]
        assert_close(decode_image(data + ordinary_files()["jpeg cmyk"]), decode_image(data), 0)

    @pytest.mark.parametrize("seed", range(20))
    def test_a_missing_end_marker_is_forgiven(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        pixels = rng.integers(0, 256, (*rng.integers(1, 90, 2), 3), np.uint8)
        data = encode(Image.fromarray(pixels), "JPEG", quality=int(rng.integers(5, 100)))
        assert_close(decode_image(data[:-2]), decode_image(data), 0)

    @pytest.mark.parametrize("end", [b"", b"\xff\xd9"], ids=["open", "closed"])
    @pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
    def test_missing_rows_are_not(self, part: float, end: bytes) -> None:
        data = encode(Image.fromarray(NOISE[..., :3]), "JPEG")
        start = data.index(b"\xff\xda")
        with pytest.raises(ImageError, match="37 x 53 pixels, as the header promises"):
            decode_image(data[: start + int((len(data) - start) * part)].rstrip(b"\xff") + end)


@pytest.mark.parametrize("extra", [{}, {"loop": 0}])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
def test_several_pictures_are_refused(kind: str, extra: dict[str, int]) -> None:
    frames = [photo(9, 9), photo(9, 9).rotate(90)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **extra)
    with pytest.raises(UnsupportedImage, match=r"one picture; got 2 pages or frames|got a GIF"):
        decode_image(data)
