"""Words of users: files, folders, patterns, standard input, cameras."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.contract.images.files import write_image
from model_zoo.sources import open as opening
from model_zoo.sources.live import LiveSource
from model_zoo.sources.open import open_sources
from tests.videos import frame_of, write_video


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two images and a video."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.png", "in/deep/c.png"):
        write_image(tmp_path / name, frame_of(1))
    write_video(tmp_path / "in/a.mp4", map(frame_of, range(3)))
    return tmp_path


def test_files_folders_and_patterns_are_found_once_in_order(folder: Path) -> None:
    sources = open_sources(["in/b.png", "in", Path("in/**/*.png")])
    assert [source.name for source in sources.items] == ["in/b.png", "in/a.mp4", "in/deep/c.png"]
    assert [frame.name for frame in sources] == ["in/b.png", "in/a.mp4#0", "in/a.mp4#1", "in/a.mp4#2", "in/deep/c.png"]
    assert sources.count() == 5
    assert (sources.is_video, sources.is_live) == (True, False)
    assert not open_sources(["in/b.png"]).is_video


def test_frames_of_videos_can_be_thinned_out(folder: Path) -> None:
    sources = open_sources(["in"], every=2)
    assert [frame.name for frame in sources] == ["in/a.mp4#0", "in/a.mp4#2", "in/b.png"]
    assert sources.count() == 3


def test_distance_of_frames_is_checked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "open_url", lambda url: LiveSource(url, lambda: iter(())))
    for words, every in ((["in"], 0), (["rtsp://camera"], 2)):
        with pytest.raises(LineageError, match=f"every: expected 1 or more for video files, .*; got {every}"):
            open_sources(words, every=every)


def test_standard_input_is_an_image_or_a_list(folder: Path) -> None:
    image = (folder / "in/b.png").read_bytes()
    [frame] = open_sources(["-"], io.BytesIO(image))
    assert (frame.name, frame.load()) == ("-", image)
    listed = open_sources(["-"], io.BytesIO("in/b.png\r\n\nin/deep\nfür.png\n".encode()))
    assert [source.name for source in listed.items] == ["in/b.png", "in/deep/c.png", "für.png"]


@pytest.mark.parametrize(("size", "actual"), [(0, "nothing"), (101, "more")])
def test_standard_input_has_a_limit(size: int, actual: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "DEFAULT_LIMITS", type("Limits", (), {"max_bytes": 100}))
    with pytest.raises(LineageError, match=f"got {actual}"):
        open_sources(["-"], io.BytesIO(b"a" * size))


@pytest.mark.parametrize("word", ["7", "/dev/video7"])
def test_missing_camera_is_an_error(word: str, folder: Path) -> None:
    pytest.importorskip("av", reason="cameras need the extra `video`")
    with pytest.raises(LineageError, match=rf"^{word}: expected a video that can be opened; No such file"):
        open_sources([word])


def test_file_may_have_the_name_of_a_camera(folder: Path) -> None:
    (folder / "7").write_bytes(b"")
    [source] = open_sources(["7"]).items
    assert not source.is_live


def test_live_source_stands_alone(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(opening, "open_url", lambda url: LiveSource(url, lambda: iter(())))
    assert open_sources(["rtsp://a"]).is_live
    with pytest.raises(LineageError, match="rtsp://a does not end: expected it alone, got 2 sources"):
        open_sources(["in/b.png", "rtsp://a"])


@pytest.mark.parametrize("name", ["pipe", "pipe.png", "pipe.mp4", "/dev/zero"])
def test_pipes_and_devices_are_refused_before_they_are_read(name: str, folder: Path) -> None:
    if name.startswith("pipe"):
        os.mkfifo(folder / name)
    with pytest.raises(LineageError, match=f"^{name}: expected a file; got a pipe or device; .* `lineage detect -`"):
        open_sources([name])


def test_stopped_sources_begin_no_other(folder: Path) -> None:
    sources = open_sources(["in"])
    frames = iter(sources)
    next(frames)
    sources.stop()
    assert list(frames) == []
    assert sources.stopped.is_set()
