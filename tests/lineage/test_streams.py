"""Frames of videos and live sources, for models and clients."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineage.results import ImageResult
from lineage.streams import detect_stream
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.frames import Load, Pixels
from model_zoo.sources.live import LiveSource
from tests.conftest import ROOT
from tests.videos import frame_of, write_video


def detect(pixels: Pixels) -> ImageResult:
    height, width = pixels.shape[:2]
    return ImageResult((height, width), Detections.from_dict([]), [], "toy@1", image=pixels)


def live(monkeypatch: pytest.MonkeyPatch, frames: Iterator[Load]) -> None:
    monkeypatch.setattr("model_zoo.sources.live.DELAYS", ())
    monkeypatch.setattr("model_zoo.sources.open.open_url", lambda url: LiveSource(url, lambda: frames))


def test_every_frame_of_a_video_has_a_result(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", map(frame_of, range(5)))
    results = list(detect_stream(path, detect, threads=3, track=False))
    assert [(result.frame, result.file) for result in results] == [(number, str(path)) for number in range(5)]
    assert [result.time for result in results] == pytest.approx([number / 10 for number in range(5)])


def test_live_source_gives_the_newest_frame_for_each_result(monkeypatch: pytest.MonkeyPatch) -> None:
    first_has_a_result, all_are_sent, end = threading.Event(), threading.Event(), threading.Event()

    def frames() -> Iterator[Load]:
        yield lambda: frame_of(0)
        first_has_a_result.wait(10)
        yield from itertools.repeat(lambda: frame_of(1), 99)
        all_are_sent.set()
        end.wait(10)

    live(monkeypatch, frames())
    results = detect_stream("rtsp://camera", detect, threads=4, track=False)
    assert next(results).frame == 0
    first_has_a_result.set()
    all_are_sent.wait(10)
    assert next(results).frame == 99
    end.set()
    results.close()  # type: ignore[attr-defined]
    assert "lineage live" not in [thread.name for thread in threading.enumerate()]


def test_lost_source_is_an_error_after_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    def frames() -> Iterator[Load]:
        yield lambda: frame_of(1)
        raise ImageError("no power")

    live(monkeypatch, frames())
    with pytest.raises(ImageError, match=r"rtsp://camera: lost, .*; no power"):
        list(detect_stream("rtsp://camera", detect, threads=4, track=False))


@pytest.mark.parametrize(("name", "hint"), [("photo.jpg", "`detect` takes images"), ("none.mp4", "No such file")])
def test_source_that_is_no_video_is_an_error(name: str, hint: str) -> None:
    pytest.importorskip("av", reason="videos need the extra `video`")
    with pytest.raises(LineageError, match=hint):
        list(detect_stream(name, detect, threads=1, track=False))


def test_streams_of_a_client_need_no_engine() -> None:
    heavy = ["fastapi", "onnxruntime", "starlette", "supervision", "torch", "tyro"]
    program = f"import sys; sys.modules.update(dict.fromkeys({heavy})); import lineage.streams"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
