"""`lineage detect`: inputs, outputs and options."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

import lineage
from lineage.cli.main import main
from model_zoo.contract.drawing import class_color
from model_zoo.contract.errors import ImageError
from model_zoo.contract.frames import Load
from model_zoo.sources.live import LiveSource
from service.api.native.schemas import DetectAnswer
from tests.images import damaged_jpeg
from tests.lineage.cli.toy_files import RED, publish, save_image
from tests.tiny_onnx import CLASS_NAMES
from tests.videos import frame_of, read_video, write_video

Detect = Callable[..., tuple[int, str, str]]


@pytest.fixture
def detect(capsys: pytest.CaptureFixture[str]) -> Detect:
    """Run `lineage detect`: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["detect", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def results(output: str) -> list[dict[str, object]]:
    return list(json.loads(output)["results"])


def test_table_lists_labels_scores_and_boxes(detect: Detect, workspace: Path) -> None:
    save_image(workspace / "a.png")
    code, out, err = detect("a.png", "--model", "toy")
    assert (code, err) == (0, "")
    header, image, *objects = out.splitlines()
    assert header.split() == ["label", "score", "left", "top", "right", "bottom"]
    assert image == "a.png  64 x 64  2 objects"
    assert [line.split() for line in objects] == [
        ["red", "0.98", "31.2", "12.5", "32.5", "15.2"],
        ["green", "0.39", "31.2", "12.5", "32.5", "15.2"],
    ]


def test_json_has_the_schema_of_the_service(detect: Detect, workspace: Path) -> None:
    save_image(workspace / "a.png", size=(32, 64))
    code, out, _ = detect("a.png", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["model"] == {"name": "toy", "version": 1}
    shape = DetectAnswer.model_validate(document)
    assert shape.timing_ms.total >= shape.timing_ms.infer > 0
    (result,) = document["results"]
    assert result["file"] == "a.png"
    assert result["image"] == {"width": 64, "height": 32}
    assert [d["label"] for d in result["detections"]] == ["red", "green", "blue"]
    assert all(set(d) == {"box", "score", "class_id", "label"} for d in result["detections"])


@pytest.mark.parametrize(
    ("flags", "labels"),
    [
        ((), ["red", "green"]),
        (("--score", "0.05"), ["red", "green", "blue"]),
        (("--score", "0.5"), ["red"]),
        (("--classes", "green, 2", "--score", "0.05"), ["green", "blue"]),
        (("--max-detections", "1"), ["red"]),
    ],
)
def test_thresholds_and_filters_select_detections(
    flags: tuple[str, ...], labels: list[str], detect: Detect, workspace: Path
) -> None:
    save_image(workspace / "a.png")
    _, out, _ = detect("a.png", "--json", *flags)
    assert [d["label"] for d in results(out)[0]["detections"]] == labels


def test_iou_and_nms_reach_the_graph(detect: Detect, workspace: Path) -> None:
    """The toy model's box ends at (mean green + 20 + iou + distance_weight) / 8."""
    save_image(workspace / "a.png")
    for flags, expected in ((("--iou", "0.5"), 121.5), (("--nms", "diou"), 121.45), (("--nms", "iou"), 120.45)):
        _, out, _ = detect("a.png", "--json", *flags)
        box = results(out)[0]["detections"][0]["box"]
        assert box[3] == pytest.approx(expected / 8, abs=2e-3)


def test_folders_patterns_and_files_are_processed_once_in_order(detect: Detect, workspace: Path) -> None:
    for name in ("in/b.png", "in/a.JPG", "in/deep/c.png", "x[1].png"):
        save_image(workspace / name)
    (workspace / "in/notes.txt").write_text("not an image")
    _, out, err = detect("x[1].png", "in", "in/**/*.png", "--json")
    assert err == "", "no progress bar without a terminal"
    assert [r["file"] for r in results(out)] == ["x[1].png", "in/a.JPG", "in/b.png", "in/deep/c.png"]


def test_unreadable_image_is_reported_and_others_are_processed(detect: Detect, workspace: Path) -> None:
    save_image(workspace / "good.png")
    (workspace / "bad.png").write_bytes(b"not an image")
    (workspace / "empty").mkdir()
    code, out, err = detect("bad.png", "gone.png", "empty", "none/*.png", "good.png", "--json")
    assert code == 1
    assert [(r["file"], "error" in r) for r in results(out)] == [
        ("bad.png", True), ("gone.png", True), ("empty", True), ("none/*.png", True), ("good.png", False),
    ]  # fmt: skip
    error_lines = err.splitlines()
    assert [line.split(": ")[:2] for line in error_lines] == [
        ["lineage", name] for name in ("bad.png", "gone.png", "empty", "none/*.png")
    ]
    assert "No such file" in error_lines[1]
    assert "no images in this folder" in error_lines[2]


def test_copies_with_boxes_are_saved_and_inputs_unchanged(detect: Detect, workspace: Path) -> None:
    for name in ("one/photo.jpg", "two/photo.jpg", "two/PHOTO.png", "two/Photo.JPG"):
        save_image(workspace / name, color=(20, 200, 250), size=(128, 128))
    before = {path: path.read_bytes() for path in workspace.glob("t*o/*")}
    code, _, _ = detect("one", "two", "--save", "out/drawn")
    assert code == 0
    names = {path.name for path in (workspace / "out/drawn").iterdir()}
    assert names == {"photo.jpg", "PHOTO.png", "Photo-2.JPG", "photo-3.jpg"}
    assert {path: path.read_bytes() for path in before} == before
    drawn = cv2.imread(str(workspace / "out/drawn/PHOTO.png"))[..., ::-1]
    assert (drawn == class_color(CLASS_NAMES.index("blue"))).all(axis=-1).any()


@pytest.mark.parametrize("kind", ["same folder", "symbolic link", "hard link"])
def test_save_never_overwrites_an_input(kind: str, detect: Detect, workspace: Path) -> None:
    image = save_image(workspace / "in/photo.png")
    content = image.read_bytes()
    (workspace / "out").mkdir()
    if kind == "symbolic link":
        (workspace / "out/photo.png").symlink_to(image)
    if kind == "hard link":
        os.link(image, workspace / "out/photo.png")
    code, out, err = detect("in", "--save", "in" if kind == "same folder" else "out")
    assert (code, out) == (2, "")
    assert "choose another folder" in err
    assert image.read_bytes() == content


def test_copy_too_large_for_its_format_is_reported(detect: Detect, workspace: Path) -> None:
    """WebP holds up to 16,383 pixels a side. The contents of this file are PNG."""
    save_image(workspace / "wide.png", size=(1, 16384)).rename(workspace / "wide.webp")
    code, _, err = detect("wide.webp", "--save", "out")
    assert code == 1
    assert "16384 x 1 pixels cannot be written as .webp" in err


def test_onnx_file_needs_no_repository(detect: Detect, workspace: Path) -> None:
    save_image(workspace / "a.png")
    _, from_file, _ = detect("a.png", "--json", "--model", workspace / "toy.onnx")
    _, from_repository, _ = detect("a.png", "--json", "--model", "toy@1")
    assert results(from_file) == results(from_repository)
    assert json.loads(from_file)["model"] == {"name": "toy", "version": 0}


def test_unknown_model_lists_available_ones(detect: Detect, workspace: Path) -> None:
    save_image(workspace / "a.png")
    publish(workspace / "models", "other", workspace / "other.onnx")
    for flags, hint in (
        ((), "other, toy"),
        (("--model", "tyo"), "did you mean toy?"),
        (("--model", "toy@9"), "1, latest"),
        (("--model", "gone.onnx"), "gone.onnx: no such file"),
        (("--repository", "nowhere"), "lineage import"),
    ):
        code, out, err = detect("a.png", *flags)
        assert (code, out) == (2, "")
        assert hint in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        (("--score", "7"), "score: expected a number from"),
        (("--classes", "purple"), "no class 'purple'"),
        (("--max-detections", "0"), "max_detections: expected"),
    ],
)
def test_invalid_options_are_user_errors(flags: tuple[str, ...], hint: str, detect: Detect, workspace: Path) -> None:
    save_image(workspace / "a.png")
    code, out, err = detect("a.png", *flags)
    assert (code, out) == (2, "")
    assert hint in err


def test_unreadable_onnx_file_is_refused(detect: Detect, workspace: Path) -> None:
    save_image(workspace / "a.png")
    (workspace / "noise.onnx").write_bytes(b"\x00\x01noise")
    code, _, err = detect("a.png", "--model", "noise.onnx")
    assert code == 2
    assert "noise.onnx: ONNX Runtime cannot load it" in err


def test_no_images_is_a_user_error(detect: Detect) -> None:
    code, _, err = detect("--model", "toy")
    assert code == 2
    assert "no images" in err


def test_damaged_image_is_processed_with_a_warning(workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (workspace / "damaged.jpg").write_bytes(damaged_jpeg())
    assert main(["detect", "damaged.jpg", "--json"]) == 0
    out, err = capfd.readouterr()
    [result] = results(out)
    assert result["image"] == {"width": 64, "height": 48}
    [warning] = err.splitlines()  # and nothing from libjpeg itself
    assert warning.startswith("lineage: warning: damaged.jpg: the JPEG is damaged, parts of the image may be missing (")


def test_training_run_is_refused_with_the_command_that_publishes_it(workspace: Path, detect: Detect) -> None:
    save_image(workspace / "a.png")
    (workspace / "runs" / "x").mkdir(parents=True)
    (workspace / "runs" / "x" / "best.safetensors").write_bytes(b"")
    code, _, err = detect("a.png", "--model", "runs/x")
    assert code == 2
    assert "this is a training run; publish it with `lineage export runs/x --name NAME`" in err


@pytest.mark.parametrize("label_format", ["coco", "yolo", "label-studio", "crops"])
def test_label_files_replace_the_table(label_format: str, detect: Detect, workspace: Path) -> None:
    save_image(workspace / "in/a.png")
    (workspace / "in/bad.png").write_bytes(b"not an image")
    code, out, err = detect("in", "--format", label_format, "--output", "new/labels")
    assert (code, out) == (1, "")
    assert err.startswith("lineage: in/bad.png: ")
    assert any((workspace / "new/labels").iterdir())


def test_coco_file_has_the_numbers_of_the_json_output(detect: Detect, workspace: Path) -> None:
    save_image(workspace / "a.png")
    detect("a.png", "--format", "coco", "--output", "out", "--score", "0.05")
    _, printed, _ = detect("a.png", "--json", "--score", "0.05")
    expected = results(printed)[0]["detections"]
    annotations = json.loads((workspace / "out/labels.json").read_text())["annotations"]
    assert [a["score"] for a in annotations] == [d["score"] for d in expected]
    for annotation, detection in zip(annotations, expected, strict=True):
        left, top, width, height = annotation["bbox"]
        assert [left, top, left + width, top + height] == pytest.approx(detection["box"], abs=1e-9)


@pytest.mark.parametrize("label_format", ["coco", "yolo"])
def test_label_files_are_datasets(label_format: str, detect: Detect, workspace: Path) -> None:
    """The files can be read again for training, with the images beside them."""
    from training.data.open import open_dataset

    images = [save_image(workspace / "in" / name, color) for name, color in (("a.png", RED), ("b/c.png", (0, 0, 0)))]
    detect(*images, "--format", label_format, "--output", "out")
    (workspace / "out" / ("images" if label_format == "yolo" else "data")).symlink_to(workspace / "in")
    dataset = open_dataset(workspace / "out" / ("data.yaml" if label_format == "yolo" else "labels.json"))
    assert tuple(dataset.class_names) == CLASS_NAMES


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        (("--format", "coco"), "expected --output FOLDER"),
        (("--output", "new"), "expected --format json-lines or csv or coco"),
        (("--format", "coco", "--output", "new", "--json"), "expected one of them"),
        (("--format", "coco", "--output", "models"), "models: expected a folder that does not exist yet"),
        (("--format", "voc", "--output", "new"), "label-studio"),
    ],
)
def test_options_of_label_files_are_checked(flags: tuple[str, ...], hint: str, detect: Detect, workspace: Path) -> None:
    save_image(workspace / "a.png")
    code, out, err = detect("a.png", *flags)
    assert (code, out) == (2, "")
    assert hint in err
    assert not (workspace / "new").exists()


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_tracked_objects_have_numbers_in_every_output(detect: Detect, workspace: Path) -> None:
    pytest.importorskip("trackers", reason="tracking needs trackers")
    write_video(workspace / "clip.mp4", map(frame_of, [9] * 3))
    code, out, _ = detect("clip.mp4", "--track", "--format", "json-lines", "--score", "0.1", "--save", "out")
    numbers = [[found.get("track_id") for found in line["detections"]] for line in json_lines(out)]
    assert (code, numbers[0].count(None)) == (0, len(numbers[0]))
    assert numbers[1] == numbers[2]
    assert 1 in numbers[1]
    _, plain, _ = detect("clip.mp4", "--score", "0.1", "--save", "plain")
    _, table, _ = detect("clip.mp4", "--track", "--score", "0.1")
    assert ("  #1" in plain, "  #1" in table) == (False, True)
    drawn = [read_video(workspace / folder / "clip.mp4")[2] for folder in ("out", "plain")]
    assert not np.array_equal(*drawn)


def test_images_are_not_tracked(detect: Detect, workspace: Path) -> None:
    save_image(workspace / "a.png")
    code, out, err = detect("a.png", "--track")
    assert (code, out) == (2, "")
    assert "--track numbers the objects of videos" in err


def test_lines_of_a_video_are_the_detections_of_its_frames(detect: Detect, workspace: Path) -> None:
    path = write_video(workspace / "clip.mp4", map(frame_of, range(7)))
    code, out, err = detect("clip.mp4", "--format", "json-lines", "--score", "0.1")
    lines = json_lines(out)
    assert code == 0
    assert re.fullmatch(r"lineage: 7 frames in .* s, .* frames/s\n", err)
    with lineage.load("models") as model:
        expected = [model.detect(pixels, score=0.1).to_dict() for pixels in read_video(path)]
    assert [line["detections"] for line in lines] == [result["detections"] for result in expected]
    assert [(line["source"], line["frame"]) for line in lines] == [("clip.mp4", number) for number in range(7)]
    assert [line["time"] for line in lines] == pytest.approx([number / 10 for number in range(7)])
    assert lines[0]["image"] == {"width": 64, "height": 64}


def test_images_and_videos_are_saved_with_boxes(detect: Detect, workspace: Path) -> None:
    write_video(workspace / "in/clip.mov", [np.full((64, 64, 3), (20, 200, 250), np.uint8)] * 3)
    write_video(workspace / "in/second.mkv", map(frame_of, range(2)))
    save_image(workspace / "in/photo.png")
    code, out, _ = detect("in", "--save", "out")
    assert code == 0
    assert "in/clip.mov#2  0.200 s  64 x 64  " in out
    assert {file.name for file in (workspace / "out").iterdir()} == {"clip.mp4", "second.mp4", "photo.png"}
    plain, drawn = read_video(workspace / "in/clip.mov"), read_video(workspace / "out/clip.mp4")
    assert len(drawn) == 3
    assert np.abs(drawn[2].astype(int) - plain[2]).max() > 50
    assert len(read_video(workspace / "out/second.mp4")) == 2


def test_table_of_numbers_has_a_row_for_each_detection(detect: Detect, workspace: Path) -> None:
    write_video(workspace / "clip.mp4", map(frame_of, range(2)))
    (workspace / "bad.png").write_bytes(b"no image")
    code, out, err = detect(
        "bad.png", save_image(workspace / "a.png"), "clip.mp4", "--format", "csv", "--output", "x.csv"
    )
    assert (code, out) == (1, "")
    assert "bad.png: " in err
    rows = list(csv.DictReader((workspace / "x.csv").read_text().splitlines()))
    assert [(row["frame"], row["time"], row["label"]) for row in rows] == [
        ("", "", "red"), ("", "", "green"), ("0", "0.0", "red"), ("1", "0.1", "red"),
    ]  # fmt: skip
    assert float(rows[0]["x1"]) == pytest.approx(31.2, abs=0.1)
    assert rows[0]["track_id"] == ""


def test_frames_have_names_in_label_files(detect: Detect, workspace: Path) -> None:
    write_video(workspace / "in/clip.mp4", map(frame_of, range(2)))
    save_image(workspace / "in/a.png")
    detect("in", "--format", "coco", "--output", "coco")
    images = json.loads((workspace / "coco/labels.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["a.png", "clip.mp4/000000.jpg", "clip.mp4/000001.jpg"]
    detect("in", "--format", "crops", "--output", "crops")
    crops = {file.relative_to(workspace / "crops").as_posix() for file in (workspace / "crops").rglob("*.jpg")}
    assert {"red/a-1.jpg", "green/a-2.jpg", "red/clip.mp4_000001-1.jpg"} <= crops


@pytest.mark.parametrize("end", ["interrupt", "loss"])
def test_live_source_ends_with_all_outputs(
    end: str, detect: Detect, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def frames() -> Iterator[Load]:
        for number in itertools.count():
            if number == 5 and end == "interrupt":
                os.kill(os.getpid(), signal.SIGINT)
            if number == 5 and end == "loss":
                raise ImageError("no power")
            time.sleep(0.02)
            yield lambda: frame_of(3)

    pytest.importorskip("av", reason="videos need the extra `video`")
    monkeypatch.setattr("model_zoo.sources.live.DELAYS", ())
    monkeypatch.setattr("model_zoo.sources.open.open_url", lambda url: LiveSource(url, frames))
    before = signal.getsignal(signal.SIGINT)
    code, out, err = detect("rtsp://camera/x", "--format", "json-lines", "--save", "out")
    assert code == (0 if end == "interrupt" else 1)
    assert ("lineage: rtsp://camera/x: lost, 0 attempts to connect again failed; no power" in err) == (end == "loss")
    assert signal.getsignal(signal.SIGINT) is before
    assert sum("error" not in line for line in json_lines(out)) == len(read_video(workspace / "out/x.mp4")) >= 1


def test_paths_are_read_from_standard_input(detect: Detect, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_image(workspace / "a.png")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"a.png\n")))
    _, out, _ = detect("-", "--json")
    assert [result["file"] for result in results(out)] == ["a.png"]


def test_one_document_is_refused_for_videos(detect: Detect, workspace: Path) -> None:
    write_video(workspace / "clip.mp4", [frame_of(1)])
    code, out, err = detect("clip.mp4", "--json")
    assert (code, out) == (2, "")
    assert "expected --format json-lines" in err


def test_damaged_video_is_reported_and_others_are_processed(detect: Detect, workspace: Path) -> None:
    write_video(workspace / "good.mp4", [frame_of(1)])
    (workspace / "bad.mp4").write_bytes(b"no video")
    code, out, err = detect("bad.mp4", "good.mp4", "--format", "json-lines")
    assert code == 1
    assert [("error" in line, line["source"]) for line in json_lines(out)] == [(True, "bad.mp4"), (False, "good.mp4")]
    assert "lineage: bad.mp4: expected a video that can be opened; " in err
