"""Headers and perceptual hashes of image files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tests.training.data.tiny_datasets import noise, write_image
from training.data.image_info import HASH_GRID, ImageInfo, hash_images, read_image_info


def test_info_has_size_and_error(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise(1, 20, 30))
    (tmp_path / "empty.png").touch()
    first, empty, missing = read_image_info(tmp_path, [tmp_path / f"{name}.png" for name in ("a", "empty", "gone")])
    assert (first.displayed, first.error, len(first.sha256)) == ((20, 30), "", 64)
    assert (empty, missing) == (ImageInfo(error="empty"), ImageInfo(error="missing"))


def test_pipes_and_folders_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")  # reading it would wait forever
    (tmp_path / "folder.jpg").mkdir()
    infos = read_image_info(tmp_path, [tmp_path / "pipe.jpg", tmp_path / "folder.jpg", Path("/dev/zero")])
    assert {info.error for info in infos} == {"Not a regular file; replace it by an image"}


def test_hash_distinguishes_images_and_is_empty_for_a_single_color(tmp_path: Path) -> None:
    for name, pixels in (("a", noise(1)), ("b", noise(2)), ("black", np.zeros((40, 40, 3), np.uint8))):
        write_image(tmp_path / f"{name}.png", pixels)
    (tmp_path / "text.png").write_text("not an image")
    a, b, black, text = hash_images(tmp_path, [tmp_path / f"{name}.png" for name in ("a", "b", "black", "text")])
    assert len(a.bits) == len(b.bits) == HASH_GRID**2 / 4
    assert a.bits != b.bits
    assert (black.bits, black.error, text.bits) == ("", "", "")
    assert text.error
