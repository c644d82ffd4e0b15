"""Hostile, malformed and odd files: an ImageError or a picture, nothing else, whatever the bytes."""

from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.contract.errors import ImageError, ImageTooLarge, UnsupportedImage
from model_zoo.contract.images import ImageLimits, decode_image, probe
from model_zoo.contract.images.tiff import exif_orientation
from tests.images import repaired_png
from tests.malformed_images import HostileFile, hostile_files, ordinary_files
from tests.non_image_files import NON_IMAGE_FILES

ORDINARY = ordinary_files()
SMALL = ImageLimits(max_pixels=2**20, max_work=2**22)


def test_the_zoo_is_large_and_its_names_are_unique() -> None:
    assert len(hostile_files()) >= 200
    assert len({file.name for file in hostile_files()}) == len(hostile_files())


@pytest.mark.parametrize("file", hostile_files(), ids=lambda file: file.name)
def test_hostile_files_are_refused_and_odd_ones_are_not(file: HostileFile) -> None:
    if file.refused:
        with pytest.raises(ImageError, match=r"expected .*; got .*; "):
            decode_image(file.data)
    else:
        assert decode_image(file.data).shape == (*probe(file.data).displayed_size, 3)


def test_memory_is_back_after_the_whole_zoo() -> None:
    def visit() -> int:
        for file in hostile_files():
            accepts(file.data)
        gc.collect()
        return psutil.Process().memory_info().rss

    settled = visit()
    assert visit() - settled < 32 * 2**20


@pytest.mark.parametrize("name", NON_IMAGE_FILES)
def test_other_content_is_named(name: str) -> None:
    with pytest.raises(UnsupportedImage, match=r"expected a JPEG, PNG, WebP, TIFF or BMP picture; got .+; convert"):
        probe(NON_IMAGE_FILES[name])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gif", "a GIF"),
        ("pdf", "a PDF document"),
        ("heic", "a HEIC photo"),
        ("avif", "an AVIF picture"),
        ("mp4", "a video"),
        ("zip", "a ZIP archive"),
        ("svg", "an SVG"),
        ("html", "an HTML page"),
        ("json", "JSON"),
        ("text", "text"),
        ("empty", "an empty file"),
        ("ones", "unknown content"),
    ],
)
def test_the_refusal_says_what_came(name: str, kind: str) -> None:
    with pytest.raises(UnsupportedImage, match=f"got {kind}"):
        decode_image(NON_IMAGE_FILES[name])


def test_bombs_are_too_large_before_anything_is_decoded() -> None:
    bombs = [file for file in hostile_files() if "bomb" in file.name and file.name.startswith("jpeg")]
    assert len(bombs) >= 3
    for bomb in bombs:
        with pytest.raises(ImageTooLarge, match="scans"):
            probe(bomb.data)


@pytest.mark.parametrize("name", ORDINARY)
def test_no_cut_passes_as_a_whole_picture(name: str) -> None:
    """The last blocks of a JPEG or WebP may pass without their last bytes; nothing else may."""
    data = ORDINARY[name]
    whole = decode_image(data).astype(int)
    for length in range(0, len(data) - 1, max(len(data) // 200, 1)):
        try:
            came = decode_image(data[:length])
        except ImageError:
            continue
        assert length >= len(data) - 20
        assert (np.abs(came - whole).max(axis=-1) > 8).mean() < 0.15


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", *(data[:12] for data in ORDINARY.values())]))
def test_any_bytes_are_refused_kindly(data: bytes, head: bytes) -> None:
    with pytest.raises(ImageError):
        decode_image(head + data, SMALL)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(ORDINARY)), st.data())
def test_any_damage_is_an_error_or_a_picture(name: str, draw: st.DataObject) -> None:
    data = bytearray(ORDINARY[name])
    places = st.one_of(st.integers(0, len(data) - 1), st.integers(0, 80))
    for place in draw.draw(st.lists(places, min_size=1, max_size=6)):
        data[place] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.one_of(st.none(), st.integers(0, len(data))))
    accepts(bytes(data[:cut]))
    accepts(repaired_png(bytes(data[:cut])))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""]))
def test_any_exif_gives_an_orientation(data: bytes, head: bytes) -> None:
    assert 1 <= exif_orientation(head + data) <= 8


def test_opencv_keeps_its_complaints_to_itself() -> None:
    """They would fill the server's log; those who sent the file are told by ImageError."""
    data = bytearray(ORDINARY["tiff deflate"])
    data[8:40] = bytes(32)  # the stream of the first strip
    script = "import sys; from model_zoo.contract.images import decode_image; decode_image(sys.stdin.buffer.read())"
    done = subprocess.run([sys.executable, "-c", script], input=bytes(data), capture_output=True, check=False)
    assert b"[ERROR" not in done.stderr
    assert b"[ WARN" not in done.stderr


def accepts(data: bytes) -> bool:
    try:
        image = decode_image(data, SMALL)
    except ImageError:
        return False
    assert image.dtype == np.uint8
    assert image.shape == (*probe(data, SMALL).displayed_size, 3)
    return True
