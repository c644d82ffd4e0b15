"""`lineage detect` with hostile names, outputs in each other's way, and ends in the middle."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from lineage.cli.main import main
from model_zoo.contract.images.files import write_image
from model_zoo.sources import video
from tests.tiny_onnx import toy_card, toy_onnx
from tests.videos import frame_of, read_video, write_video

Detect = Callable[..., tuple[int, str, str]]


@pytest.fixture
def detect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Detect:
    """Run `lineage detect` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    Path("toy.onnx").write_bytes(toy_onnx(toy_card()))

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["detect", "--model", "toy.onnx", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_signal_ends_a_video_with_whole_outputs(number: int, detect: Detect, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = 0

    def to_rgb(frame: Any) -> Any:
        nonlocal decoded
        decoded += 1
        if decoded == 10:
            os.kill(os.getpid(), number)
        return convert(frame)

    convert = video.to_rgb
    monkeypatch.setattr(video, "to_rgb", to_rgb)
    for name in ("a.mp4", "b.mp4"):
        write_video(Path(name), (frame_of(index % 20) for index in range(100)))
    before = signal.getsignal(number)
    code, _, _ = detect("a.mp4", "b.mp4", "--format", "json-lines", "--output", "x.jsonl", "--save", "out")
    lines = [json.loads(line) for line in Path("x.jsonl").read_text().splitlines()]
    assert (code, signal.getsignal(number)) == (130, before)
    assert [line["frame"] for line in lines] == list(range(len(lines)))
    assert 1 <= len(lines) == len(read_video(Path("out/a.mp4"))) < 100
    assert os.listdir("out") == ["a.mp4"], "nothing of the second video, and no unfinished file"


def test_names_cannot_command_the_terminal(detect: Detect) -> None:
    write_image("\x1b]0;title\x07.png", frame_of(1))
    Path("\x1b[2J.png").write_bytes(b"")
    code, out, err = detect(".", "./missing\x1b[31m.png", "--score", "0.1")
    assert code == 1
    assert r"\x1b]0;title\x07.png" in out
    assert r"\x1b[2J.png: " in err
    assert "\x1b" not in out + err
    code, _, err = detect("rtsp://\x1b[31m/")
    assert (code, "\x1b" in err) == (2, False)


@pytest.mark.parametrize("form", ["json-lines", "csv", "coco", "yolo", "label-studio", "crops"])
def test_names_may_be_any_bytes(form: str, detect: Detect) -> None:
    name = os.fsdecode(b"in/\xff \xc3\xa9.png")
    write_image(name, frame_of(20))
    code, _, err = detect(name, "--format", form, "--output", "out", "--score", "0.01", "--save", "drawn")
    assert (code, err) == (0, "")
    assert len(os.listdir("drawn")) == 1
    if form == "json-lines":
        assert json.loads(Path("out").read_text(encoding="utf-8"))["source"] == name
    elif form == "csv":
        row = next(csv.DictReader(Path("out").read_text(encoding="utf-8").splitlines()))
        assert row["source"] == r"in/\udcff é.png"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_lines_are_json_on_every_terminal(encoding: str, detect: Detect, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image("é😀.png", frame_of(1))
    terminal = TextIOWrapper(BytesIO(), encoding, errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", terminal)
    detect("é😀.png", "--format", "json-lines", "--output", "-")
    terminal.flush()
    assert json.loads(terminal.buffer.getvalue())["source"] == "é😀.png"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.png", "--format", "csv", "--output", "a.png"), "a.png: expected a file that does not exist yet"),
        (("a.png", "--format", "coco", "--output", "-"), "writes a folder; expected --output FOLDER"),
        (("a.png", "--format", "csv", "--output", "no/x.csv"), "the folder no does not exist"),
        (("a.png", "--format", "coco", "--output", "out", "--save", "out"), "a folder outside of --output out"),
        (("a.png", "--format", "csv", "--output", "out", "--save", "out/x"), "a folder outside of --output out"),
        (("a.png", "--save", "folders"), "no folder with the name of a copy; got folders/a.png"),
        (("",), "expected the name of a file or folder, or an address; got an empty one"),
        (("pipe",), "pipe: expected a file; got a pipe or device"),
        (("/dev/zero",), "/dev/zero: expected a file; got a pipe or device"),
        (("a.png", "--score", "nan"), "score"),
        (("a.png", "--score", "1.5"), "score"),
        (("a.png", "--iou", "-1"), "iou"),
        (("a.png", "--max-detections", "0"), "max_detections"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: tuple[str, ...], message: str, detect: Detect) -> None:
    write_image("a.png", frame_of(1))
    os.mkfifo("pipe")
    Path("folders/a.png").mkdir(parents=True)
    before = sorted(Path().rglob("*"))
    code, out, err = detect(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert sorted(Path().rglob("*")) == before


def test_full_disk_is_one_error_and_leaves_what_was_complete(detect: Detect) -> None:
    import resource

    write_video(Path("a.mp4"), map(frame_of, range(20)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, limits[1]))
    try:
        code, _, err = detect("a.mp4", "--format", "json-lines", "--output", "x.jsonl")
        saved, _, message = detect("a.mp4", "--save", "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (code, err.splitlines()[-1]) == (2, "lineage: File too large")
    assert [json.loads(line)["frame"] for line in Path("x.jsonl").read_text().splitlines()[:3]] == [0, 1, 2]
    assert saved == 2
    assert message.splitlines()[-1].startswith("lineage: out/a.mp4: the video cannot be written; ")
    assert os.listdir("out") == []
