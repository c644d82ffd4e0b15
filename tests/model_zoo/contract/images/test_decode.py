"""Images of every supported coding decode to the expected pixels, within the limits."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from model_zoo.contract.errors import ImageError, ImageTooLarge, UnsupportedImage
from model_zoo.contract.images import (
    ImageHeader,
    ImageLimits,
    decode,
    decode_image,
    decode_parsed,
    parse_image,
    probe,
)
from model_zoo.contract.letterbox import Size
from tests.images import (
    chunk,
    encode,
    exif,
    flat_jpeg,
    flat_png,
    gradient_image,
    ihdr,
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
from tests.model_zoo.contract.images.pixels import UPRIGHT, Pixels, assert_close, decode_with_pillow

ALPHA = Image.fromarray((np.mgrid[0:37, 0:53][1] * 5 % 256).astype(np.uint8))
JPEG_OPTIONS = ({}, {"subsampling": 0}, {"progressive": True}, {"restart_marker_blocks": 2})


def with_alpha(mode: str) -> Image.Image:
    image = gradient_image().convert(mode)
    image.putalpha(ALPHA)
    return image


def pillow_files() -> dict[str, bytes]:
    image, palette = gradient_image(), gradient_image().quantize(16)
    cmyk = encode(image.convert("CMYK"), "JPEG")
    files = {
        "jpeg 4:4:4": encode(image, "JPEG", subsampling=0),
        "jpeg poor": encode(image, "JPEG", quality=15),
        "jpeg gray": encode(image.convert("L"), "JPEG"),
        "jpeg gray progressive": encode(image.convert("L"), "JPEG", progressive=True),
        "jpeg cmyk progressive": encode(image.convert("CMYK"), "JPEG", progressive=True),
        "jpeg ycck": cmyk.replace(b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\2"),
        "jpeg tiny": encode(gradient_image(1, 1), "JPEG"),
        "jpeg mpo": encode(image, "MPO", save_all=True, append_images=[gradient_image(9, 9)]),
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
def test_pixels_match_pillow(name: str) -> None:
    data = pillow_files()[name]
    assert_close(decode_image(data), decode_with_pillow(data), 2)


def test_ycck_file_differs_from_cmyk_file() -> None:
    assert pillow_files()["jpeg ycck"] != ordinary_files()["jpeg cmyk"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff <", "tiff >", "tiff 16 bits"])
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    image = gradient_image(16, 24)
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


def test_decoding_matches_plain_opencv(shared: Path) -> None:
    """COCO images have no orientation, so plain OpenCV gives the same pixels."""
    paths = sorted((shared / "data/coco_mini/images").rglob("*.jpg"))[:20]
    assert paths
    for path in paths:
        data = path.read_bytes()
        plain = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert plain is not None
        assert_close(decode_image(data), plain, 0)


def test_bytes_bytearray_and_memoryview_are_accepted() -> None:
    data = ordinary_files()["png"]
    for kind in (bytes, bytearray, memoryview):
        assert_close(decode_image(kind(data)), np.asarray(gradient_image()), 0)


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
def test_probe_does_not_decode(name: str, header: ImageHeader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(decode.cv2, "imdecode")
    probed = probe(ordinary_files()[name])
    assert probed.work >= 37 * 53 // 2
    assert (probed.format, probed.size, probed.orientation, probed.frames, probed.scans) == (
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
        *((encode(gradient_image().convert("L"), kind), "gray", 8) for kind in ("JPEG", "PNG", "TIFF")),
        (encode(gradient_image().convert("LA"), "PNG"), "gray", 8),
        (encode(gradient_image().convert("1"), "PNG"), "gray", 1),
        (encode(gradient_image().convert("CMYK"), "TIFF"), "cmyk", 8),
        (png(np.zeros((3, 4, 3), np.uint16), 2), "rgb", 16),
        (tiff(np.zeros((3, 4), np.uint16)), "gray", 16),
    ],
)
def test_header_has_colors_and_depth(data: bytes, colors: str, depth: int) -> None:
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
        with pytest.raises(ImageTooLarge, match=r"at most 1,960 pixels.*got 53 x 37"):
            probe(data, ImageLimits(max_pixels=37 * 53 - 1))

    @pytest.mark.parametrize("name", ordinary_files())
    def test_work(self, name: str) -> None:
        data = ordinary_files()[name]
        work = probe(data).work
        decode_image(data, ImageLimits(max_work=work))
        with pytest.raises(ImageTooLarge, match="pixels to process"):
            probe(data, ImageLimits(max_work=work - 1))

    def test_phone_camera_sizes_are_accepted(self) -> None:
        pixels = chunk(b"IDAT", b"not read")
        pngs = [png_of(ihdr(6936, 9248), pixels), png_of(ihdr(5000, 10_000, color=6), pixels)]
        for data in (flat_jpeg(6936, 9248), scan_bomb(6936, 9248, 8), *pngs):
            assert probe(data).size[1] >= 9248

    def test_sides(self) -> None:
        with pytest.raises(ImageTooLarge, match="sides up to 65,535"):
            probe(flat_png(65_536, 1))


def test_decoded_size_must_match_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (None, np.zeros((53, 37, 3), np.uint8), np.zeros((37, 53), np.float32)):
        monkeypatch.setattr(decode.cv2, "imdecode", lambda *_, wrong=wrong: wrong)
        with pytest.raises(ImageError, match="53 x 37 pixels, as in the header"):
            decode_image(ordinary_files()["png"])


class TestReducedSize:
    @pytest.mark.parametrize(
        ("min_size", "expected"),
        [
            ((96, 128), (96, 128)),
            ((49, 64), (96, 128)),
            ((48, 65), (96, 128)),
            ((48, 64), (48, 64)),
            ((25, 1), (48, 64)),
            ((24, 32), (24, 32)),
            ((12, 16), (12, 16)),
            ((1, 1), (12, 16)),
            ((300, 400), (96, 128)),
        ],
    )
    def test_smallest_sufficient_one_is_chosen(self, min_size: Size, expected: Size) -> None:
        data = encode(gradient_image(96, 128), "JPEG")
        assert reduced(data, min_size).shape == (*expected, 3)

    @pytest.mark.parametrize("options", JPEG_OPTIONS, ids=str)
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    def test_pixels_are_averages(self, mode: str, options: dict[str, object]) -> None:
        data = encode(smooth_image(96, 128).convert(mode), "JPEG", quality=95, **options)
        full = decode_image(data)
        for factor in (2, 4, 8):
            small = reduced(data, (96 // factor, 128 // factor))
            average = cv2.resize(full, small.shape[1::-1], interpolation=cv2.INTER_AREA)
            assert np.abs(small.astype(int) - average).mean() < 2
            assert_close(small, average, 24)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation_is_applied(self, orientation: int) -> None:
        image = encode(smooth_image(96, 128), "JPEG")
        expected = UPRIGHT[orientation](reduced(image, (24, 32)))
        actual = reduced(with_exif(image, exif(orientation)), (expected.shape[0], expected.shape[1]))
        assert_close(actual, expected, 0)

    @pytest.mark.parametrize("width", range(120, 137))
    def test_scale_is_true_up_to_half_a_pixel(self, width: int) -> None:
        """libjpeg rounds 129 / 8 up to 17 pixels, of which the last one is mostly beyond the image."""
        for factor in (2, 4, 8):
            small = reduced(encode(smooth_image(96, width), "JPEG"), (1, width // factor))
            assert abs(small.shape[1] - width / factor) <= 0.5
            assert small.shape[0] == 96 // factor

    @pytest.mark.parametrize("name", [name for name in pillow_files() if not name.startswith("jpeg")])
    def test_other_formats_are_decoded_at_full_size(self, name: str) -> None:
        data = pillow_files()[name]
        assert_close(reduced(data, (1, 1)), decode_image(data), 0)

    def test_size_of_the_decoder_is_checked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = encode(gradient_image(96, 128), "JPEG")
        monkeypatch.setattr(decode.cv2, "imdecode", lambda *_: np.zeros((96, 128, 3), np.uint8))
        with pytest.raises(ImageError, match="128 x 96 pixels, as in the header"):
            reduced(data, (12, 16))


def reduced(data: bytes, min_size: Size) -> Pixels:
    return decode_parsed(parse_image(data), min_size=min_size)


def smooth_image(height: int, width: int) -> Image.Image:
    """An image of large colored areas without edges, as JPEG keeps them."""
    colors = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(cv2.resize(colors, (width, height), interpolation=cv2.INTER_CUBIC))


@pytest.mark.parametrize("extra", [{}, {"loop": 0}])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
def test_several_images_in_one_file_are_refused(kind: str, extra: dict[str, int]) -> None:
    frames = [gradient_image(9, 9), gradient_image(9, 9).rotate(90)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **extra)
    with pytest.raises(UnsupportedImage, match=r"one image; got 2 pages or frames|got a GIF"):
        decode_image(data)
