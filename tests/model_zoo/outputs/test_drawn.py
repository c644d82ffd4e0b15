"""Drawn copies: names, and what they never overwrite."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.outputs.drawn import plan_copies
from model_zoo.sources.images import image_file
from model_zoo.sources.live import LiveSource


def test_copies_of_equal_names_are_numbered(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one/a.jpg", "two/a.jpg", "two/A.png", "two/A.JPG", "two/b.gif", "c.heic")]
    copies = plan_copies(map(image_file, paths), Path("out"))
    assert [str(copy) for copy in copies.values()] == [
        "out/a.jpg", "out/a-2.jpg", "out/A.png", "out/A-3.JPG", "out/b.gif.jpg", "out/c.heic.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "copy"),
    [("0", "camera-0.mp4"), ("rtsp://camera/garden/main", "main.mp4"), ("udp://239.0.0.1:5000", "239.0.0.1.mp4")],
)
def test_copies_of_live_sources_have_a_name(name: str, copy: str) -> None:
    source = LiveSource(name, lambda: iter(()))
    assert plan_copies([source], "out") == {name: Path("out") / copy}


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_copies_never_overwrite_an_image(link: Callable[[Path, Path], None], tmp_path: Path) -> None:
    image = tmp_path / "in" / "a.png"
    image.parent.mkdir()
    image.write_bytes(b"")
    (tmp_path / "out").mkdir()
    link(image, tmp_path / "out" / "a.png")
    for folder in ("in", "out"):
        with pytest.raises(LineageError, match="choose another folder"):
            plan_copies([image_file(image)], tmp_path / folder)
