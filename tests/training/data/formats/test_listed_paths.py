"""Names of images from other machines, systems and working folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.data.formats.listed_paths import is_foreign, locate, path_parts


@pytest.mark.parametrize(
    "name",
    [
        "a b/1.jpg",
        "./a b/1.jpg",
        "a b\\1.jpg",
        "C:\\Users\\me\\set\\a b\\1.jpg",
        "d:/set/a b/1.jpg",
        "\\\\server\\share\\a b\\1.jpg",
        "/content/drive/My Drive/set/a b/1.jpg",
        "../set/a b/1.jpg",
        "data/a b/1.jpg",
        "http://images.example.org/a%20b/1.jpg?size=large",
        "s3://bucket/set/a%20b/1.jpg",
        "1.jpg",
    ],
)
def test_end_of_a_path_finds_the_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "1.jpg" if name == "1.jpg" else tmp_path / "a b/1.jpg"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    assert locate([name], [tmp_path / "other", tmp_path]) == [file]


def test_all_names_are_found_in_the_same_way(tmp_path: Path) -> None:
    for name in ("b/1.jpg", "1.jpg", "2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert locate(["x/b/1.jpg", "x/b/2.jpg"], [tmp_path]) == [tmp_path / "b/1.jpg", tmp_path / "b/2.jpg"]


def test_names_that_would_become_equal_are_not_shortened(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    assert locate(["a/1.jpg", "b/1.jpg"], [tmp_path]) == [tmp_path / "a/1.jpg", tmp_path / "b/1.jpg"]


def test_missing_files_are_expected_in_the_first_folder(tmp_path: Path) -> None:
    assert locate(["a/1.jpg", ""], [tmp_path, tmp_path / "b"]) == [tmp_path / "a/1.jpg", tmp_path]


def test_only_paths_of_other_machines_are_foreign() -> None:
    assert not any(map(is_foreign, ("images/train", "./images")))
    assert all(map(is_foreign, ("/images", "../images", "a\\b", "C:/images", "https://example.org/a.jpg")))
    assert path_parts("C:\\a\\..\\b.jpg") == ["a", "b.jpg"]
