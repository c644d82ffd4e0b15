"""`lineage detect` on videos: drawn copies that players read, and labels that can be trained on."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from lineage.cli.main import main
from tests.tiny_onnx import toy_card, toy_onnx
from tests.videos import frame_of, write_video

pytest.importorskip("av", reason="videos need the extra `video`")
needs_ffprobe = pytest.mark.skipif(
    shutil.which("ffprobe") is None, reason="ffprobe is not installed; on Debian and Ubuntu: apt install ffmpeg"
)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model `toy.onnx` and a video `clip.mp4`."""
    (tmp_path / "toy.onnx").write_bytes(toy_onnx(toy_card()))
    write_video(tmp_path / "clip.mp4", map(frame_of, range(12)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def detect(*flags: str) -> int:
    return main(["detect", "clip.mp4", "--model", "toy.onnx", "--score", "0.1", *flags])


def test_bundled_model_is_announced(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody has asked for it, and it knows no people or cars."""
    assert main(["detect", "none.jpg"]) == 1
    assert "the bundled model detects interface elements on screenshots" in capsys.readouterr().err
    assert detect() == 0
    assert "bundled" not in capsys.readouterr().err


@needs_ffprobe
def test_ffprobe_reads_every_frame_of_a_drawn_video(workspace: Path) -> None:
    assert detect("--save", "drawn") == 0
    fields = "codec_name,pix_fmt,width,height,color_space,color_range,nb_read_frames"
    options = ["-v", "warning", "-count_frames", "-show_entries", f"stream={fields}:format=duration", "-of", "json"]
    done = subprocess.run(["ffprobe", *options, "drawn/clip.mp4"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert answer["streams"] == [
        {
            "codec_name": "h264", "pix_fmt": "yuv420p", "width": 64, "height": 64, "color_space": "smpte170m",
            "color_range": "tv", "nb_read_frames": "12",
        }
    ]  # fmt: skip
    assert float(answer["format"]["duration"]) == pytest.approx(1.2, abs=0.1)


@pytest.mark.parametrize("label_format", ["coco", "yolo"])
def test_labels_of_a_video_are_a_dataset(label_format: str, workspace: Path) -> None:
    from training.data.open import open_dataset

    assert detect("--format", label_format, "--output", "labels", "--every", "5") == 0
    dataset = open_dataset(workspace / "labels")
    assert dataset.splits
    for split in dataset.splits.values():
        assert [record.path for record in split.records] == [
            workspace / f"labels/images/clip.mp4/{number:06}.jpg" for number in (0, 5, 10)
        ]
        assert any(len(record.boxes) for record in split.records)
