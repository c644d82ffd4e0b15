"""Written videos: codec, pixel format, times, sizes, and no file after an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.outputs import video
from model_zoo.outputs.video import VideoWriter
from tests.videos import frame_of, read_video

av = pytest.importorskip("av", reason="videos need the extra `video`")


def test_video_plays_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "new" / "drawn.mp4"
    with VideoWriter(path) as writer:
        for index in range(6):
            writer.write(frame_of(index), index / 5)
        assert not path.exists(), "the file appears at the end"
    with av.open(str(path)) as container:
        [stream] = container.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert [frame.time for frame in container.decode(stream)] == pytest.approx([i / 5 for i in range(6)], abs=1e-3)
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (6, 1)
    assert path.read_bytes().find(b"moov") < path.read_bytes().find(b"mdat"), "a browser needs the index first"
    assert [file.name for file in path.parent.iterdir()] == ["drawn.mp4"]


def test_odd_and_changing_sizes_fit_the_first_frame(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(frame_of(1, (33, 47)), 0)
        writer.write(frame_of(1, (33, 47)), 0)  # a time that does not grow
        writer.write(frame_of(1, (100, 20)), 1)
    frames = read_video(tmp_path / "a.mp4")
    assert [frame.shape for frame in frames] == [(34, 48, 3)] * 3
    for frame in frames:
        assert np.abs(frame.reshape(-1, 3).mean(axis=0) - (200, 10, 20)).max() < 6


def test_video_that_ends_with_an_error_has_the_frames_before_it(tmp_path: Path) -> None:
    def fail() -> None:
        with VideoWriter(tmp_path / "a.mp4") as writer:
            writer.write(frame_of(1), 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert len(read_video(tmp_path / "a.mp4")) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_name_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="expected the file name of a video; it is a folder"):
        VideoWriter(tmp_path)


def test_error_of_the_encoder_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "OPTIONS", {"preset": "none"})
    with (
        pytest.raises(LineageError, match=r"a\.mp4: the video cannot be written; "),
        VideoWriter(tmp_path / "a.mp4") as writer,
    ):
        writer.write(frame_of(1), 0)
    assert list(tmp_path.iterdir()) == []


def test_large_frames_are_reduced(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(frame_of(1, (65, 8192)), 0)
        writer.write(frame_of(1, (65, 8192)), 1)
    assert [frame.shape for frame in read_video(tmp_path / "a.mp4")] == [(32, 4096, 3)] * 2


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 1000), (1, 700)])
def test_tiny_frames_can_be_written(size: tuple[int, int], tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(frame_of(1, size), 0)
    assert len(read_video(tmp_path / "a.mp4")) == 1
