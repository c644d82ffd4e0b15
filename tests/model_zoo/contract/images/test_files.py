from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import ImageError, ImageTooLarge
from model_zoo.contract.images import decode_image
from model_zoo.contract.images.files import WRITTEN_SUFFIXES, find_images, read_image_file, write_image


def test_find_images_expands_folders_and_patterns_once_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in/deep").mkdir(parents=True)
    for name in ("in/b.png", "in/a.JPG", "in/deep/c.png", "in/notes.txt", "x[1].png"):
        Path(name).touch()
    sources = ["x[1].png", "in", "in/**/*.png", "gone.png", "none/*.png"]
    expected = ["x[1].png", "in/a.JPG", "in/b.png", "in/deep/c.png", "gone.png", "none/*.png"]
    assert find_images(sources) == [Path(name) for name in expected]


def test_links_in_a_circle_are_followed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two links in a circle have 2 ** 40 paths until the system refuses."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.png", "in/.hidden/b.png", "elsewhere/c.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    for link, target in {"in/one": ".", "in/two": "../in", "in/other": "../elsewhere"}.items():
        Path(link).symlink_to(target)
    found = [Path("in/a.png"), Path("in/other/c.png")]
    assert find_images("in/**/*.png") == find_images("in/**") == found
    assert find_images("**/a.png") == [Path("in/a.png")]
    assert find_images(f"{tmp_path}/*/**/*.png")[0].is_absolute()
    assert find_images("in/.hidden/**") == [Path("in/.hidden/b.png")]


def test_read_image_file_explains_why_it_fails(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        read_image_file(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="no images in this folder"):
        read_image_file(tmp_path)
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(1 << 40)  # takes no space on the disk
    with pytest.raises(ImageTooLarge, match="expected at most 20,971,520 bytes"):
        read_image_file(tmp_path / "huge.png")


def test_write_image_is_the_inverse_of_decode_image(tmp_path: Path) -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    write_image(tmp_path / "new" / "a.png", image)
    np.testing.assert_array_equal(decode_image(read_image_file(tmp_path / "new" / "a.png")), image)


@pytest.mark.parametrize("suffix", WRITTEN_SUFFIXES)
def test_images_of_every_suffix_are_found_and_written(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix.upper()}"
    write_image(path, np.zeros((4, 6, 3), dtype=np.uint8))
    assert find_images(tmp_path) == [path]
    assert decode_image(read_image_file(path)).shape == (4, 6, 3)


def test_write_image_refuses_what_the_format_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"16384 x 1 pixels cannot be written as \.webp"):
        write_image(tmp_path / "a.webp", np.zeros((1, 16384, 3), dtype=np.uint8))


@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".hif"])
def test_heif_files_are_found_but_not_written(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.touch()
    assert find_images(tmp_path) == [path]
    with pytest.raises(ImageError, match=r"ends in one of \.jpg"):
        write_image(path, np.zeros((4, 6, 3), dtype=np.uint8))
