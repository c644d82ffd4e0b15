"""Malformed and malicious files: any bytes give an ImageError or an image."""

from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.contract.errors import ImageError, ImageTooLarge
from model_zoo.contract.images import ImageLimits, decode_image, decode_parsed, parse_image, probe
from tests.images import repaired_png
from tests.malformed_images import MalformedFile, malformed_files, ordinary_files

ORDINARY = ordinary_files()
SMALL = ImageLimits(max_pixels=2**20, max_work=2**22)


def test_files_are_many_and_have_unique_names() -> None:
    assert len(malformed_files()) >= 200
    assert len({file.name for file in malformed_files()}) == len(malformed_files())


@pytest.mark.parametrize("file", malformed_files(), ids=lambda file: file.name)
def test_malformed_files_are_refused_and_unusual_ones_accepted(file: MalformedFile) -> None:
    if file.refused:
        with pytest.raises(ImageError, match=r"expected .*; got .*; "):
            decode_image(file.data)
        with pytest.raises(ImageError, match=r"expected .*; got .*; "):
            decode_parsed(parse_image(file.data), min_size=(1, 1))
    else:
        assert decode_image(file.data).shape == (*probe(file.data).displayed_size, 3)
        assert decode_parsed(parse_image(file.data), min_size=(1, 1)).size


def test_memory_is_freed() -> None:
    def memory_after_all_files() -> int:
        for file in malformed_files():
            check(file.data)
        gc.collect()
        return psutil.Process().memory_info().rss

    before = memory_after_all_files()
    assert memory_after_all_files() - before < 32 * 2**20


def test_scan_bombs_are_refused_before_decoding() -> None:
    bombs = [file for file in malformed_files() if "bomb" in file.name and file.name.startswith("jpeg")]
    assert len(bombs) >= 3
    for bomb in bombs:
        with pytest.raises(ImageTooLarge, match="scans"):
            probe(bomb.data)


@pytest.mark.parametrize("name", ORDINARY)
def test_truncated_file_is_an_error(name: str) -> None:
    """Only the last blocks of a JPEG or WebP may decode without their last bytes."""
    data = ORDINARY[name]
    complete = decode_image(data).astype(int)
    for length in range(0, len(data) - 1, max(len(data) // 200, 1)):
        try:
            truncated = decode_image(data[:length])
        except ImageError:
            with pytest.raises(ImageError):
                decode_parsed(parse_image(data[:length]), min_size=(1, 1))
            continue
        assert length >= len(data) - 20
        assert (np.abs(truncated - complete).max(axis=-1) > 8).mean() < 0.15


@settings(max_examples=200)
@given(st.binary(max_size=300), st.sampled_from([b"", *(data[:12] for data in ORDINARY.values())]))
def test_any_bytes_raise_image_error(data: bytes, head: bytes) -> None:
    with pytest.raises(ImageError):
        decode_image(head + data, SMALL)


@settings(max_examples=600)
@given(st.sampled_from(sorted(ORDINARY)), st.data())
def test_any_damage_gives_an_error_or_an_image(name: str, draw: st.DataObject) -> None:
    data = bytearray(ORDINARY[name])
    positions = st.one_of(st.integers(0, len(data) - 1), st.integers(0, 80))
    for position in draw.draw(st.lists(positions, min_size=1, max_size=6)):
        data[position] = draw.draw(st.integers(0, 255))
    length = draw.draw(st.one_of(st.none(), st.integers(0, len(data))))
    check(bytes(data[:length]))
    check(repaired_png(bytes(data[:length])))


def test_opencv_logs_nothing() -> None:
    """Its messages would fill the server log. The client gets an ImageError."""
    data = bytearray(ORDINARY["tiff deflate"])
    data[8:40] = bytes(32)  # the stream of the first strip
    script = "import sys; from model_zoo.contract.images import decode_image; decode_image(sys.stdin.buffer.read())"
    done = subprocess.run([sys.executable, "-c", script], input=bytes(data), capture_output=True, check=False)
    assert b"[ERROR" not in done.stderr
    assert b"[ WARN" not in done.stderr


def check(data: bytes) -> None:
    """Decode a file, which must give an image or an ImageError, at full and at reduced size alike."""
    try:
        image = decode_image(data, SMALL)
    except ImageError:
        with pytest.raises(ImageError):
            decode_parsed(parse_image(data, SMALL), min_size=(1, 1))
        return
    assert decode_parsed(parse_image(data, SMALL), min_size=(1, 1)).size
    assert image.dtype == np.uint8
    assert image.shape == (*probe(data, SMALL).displayed_size, 3)
