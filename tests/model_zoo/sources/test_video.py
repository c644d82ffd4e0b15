"""Videos: every frame, times, rotation, damage, limits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.sources import video
from model_zoo.sources.video import Clock, VideoFile, is_video_file
from tests.videos import frame_of, read_video, write_video

pytest.importorskip("av", reason="videos need the extra `video`")


def test_every_frame_has_its_number_time_and_pixels(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", map(frame_of, range(8)))
    source = VideoFile(str(path))
    frames = list(source)
    assert source.count() == len(frames) == 8
    assert [frame.index for frame in frames] == list(range(8))
    assert {frame.area for frame in frames} == {64 * 64}
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(8)])
    assert [frame.name for frame in frames[:2]] == [f"{path}#0", f"{path}#1"]
    for frame, expected in zip(frames, read_video(path), strict=True):
        assert (frame.pixels() == expected).all()


def test_rotated_video_is_upright(tmp_path: Path) -> None:
    """A quarter turn clockwise brings the left half to the top."""
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, :32] = (250, 100, 20)
    path = write_video(tmp_path / "phone.mp4", [image] * 3, rotation=-90)
    pixels = next(iter(VideoFile(str(path)))).pixels()
    assert pixels.shape == (64, 32, 3)
    assert pixels[:28].mean() > 100 > 20 > pixels[36:].mean()


def test_damaged_packets_are_skipped(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", map(frame_of, range(8)), codec="mjpeg" if False else "mpeg4")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 60] = bytes(60)
    path.write_bytes(data)
    assert 5 <= len(list(VideoFile(str(path)))) <= 8


@pytest.mark.parametrize("content", [b"", b"no video", b"\0\0\0\x18ftypisom" + bytes(100)])
def test_file_that_is_no_video_is_an_error_of_its_frame(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    source = VideoFile(str(path))
    [frame] = source
    assert source.count() == 1
    with pytest.raises(ImageError, match="expected a video"):
        frame.load()


def test_video_of_an_unknown_codec_is_an_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [frame_of(1)])
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    [frame] = VideoFile(str(path))
    with pytest.raises(ImageError, match="no video track that can be decoded"):
        frame.load()


def test_text_in_another_encoding_does_no_harm(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [frame_of(1)])
    path.write_bytes(path.read_bytes().replace(b"Lavf", b"\xff\xfe\xfd\xfc"))
    assert len(list(VideoFile(str(path)))) == 1


def test_video_with_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "clip.mp4", [frame_of(1)])
    monkeypatch.setattr(video, "DEFAULT_LIMITS", type("Limits", (), {"max_pixels": 1000}))
    [frame] = VideoFile(str(path))
    with pytest.raises(ImageError, match="expected a video"):
        frame.load()


def test_file_reads_nothing_from_the_network(tmp_path: Path) -> None:
    path = tmp_path / "list.ts"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://localhost:9/a.ts\n#EXT-X-ENDLIST\n")
    [frame] = VideoFile(str(path))
    with pytest.raises(ImageError, match="expected a video"):
        frame.load()


def test_stopped_video_ends(tmp_path: Path) -> None:
    source = VideoFile(str(write_video(tmp_path / "clip.mp4", map(frame_of, range(8)))))
    frames = iter(source)
    next(frames)
    source.stop()
    assert list(frames) == []


def test_missing_package_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(LineageError, match=r"pip install 'yolo-lineage\[video\]'"):
        VideoFile("clip.mp4")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.MP4", b"", True),
        ("a", b"\0\0\0\x18ftypisom", True),
        ("a.jpg", b"\0\0\0\x18ftypisom", False),
        ("a", b"\xff\xd8", False),
    ],
)
def test_videos_are_known_by_suffix_or_contents(name: str, content: bytes, expected: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert is_video_file(tmp_path / name) is expected


@pytest.mark.parametrize("kind", ["ffconcat", "hls", "hls-file", "sdp", "text"])
def test_playlists_and_scripts_do_not_read_other_files(kind: str, tmp_path: Path) -> None:
    other = write_video(tmp_path / "other.ts", [frame_of(1)])
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    texts = {
        "ffconcat": "ffconcat version 1.0\nfile other.ts\n",
        "hls": hls.format("other.ts"),
        "hls-file": hls.format(f"file:{other}"),
        "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 33\r\n",
        "text": "\x1b[31mtext art is a video for FFmpeg\n" * 20,
    }
    (tmp_path / "clip.mp4").write_text(texts[kind])
    [frame] = VideoFile(str(tmp_path / "clip.mp4"))
    with pytest.raises(ImageError, match="expected a video that can be opened"):
        frame.load()


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([5.0, 5.1, 5.4], [0, 0.1, 0.4]),
        ([None, None, None], [0, 0.1, 0.2]),
        ([0.0, 0.2, 0.2, 0.4], [0, 0.2, 0.3, 0.5]),
        ([3.0, 3.1, 0.0, 0.1], [0, 0.1, 0.2, 0.3]),
        ([0.0, 1e9, 1e9 + 0.5], [0, 0.1, 0.6]),
    ],
)
def test_times_begin_with_zero_and_grow(times: list[float | None], expected: list[float]) -> None:
    clock = Clock(rate=10)
    assert [clock.advance(time) for time in times] == pytest.approx(expected)
