"""`lineage detect`: inputs, outputs and options."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineage.cli.main import main
from model_zoo.contract.drawing import class_color
from model_zoo.contract.repository import Repository
from service.api.native.schemas import DetectAnswer
from tests.images import damaged_jpeg
from tests.tiny_onnx import CLASS_NAMES, toy_card, toy_onnx

Detect = Callable[..., tuple[int, str, str]]
RED = (250, 100, 20)


def save_image(path: Path, color: tuple[int, int, int] = RED, size: tuple[int, int] = (64, 64)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((*size, 3), color, dtype=np.uint8)
    _, data = cv2.imencode(path.suffix, image[..., ::-1])
    path.write_bytes(data.tobytes())
    return path


def publish(root: Path, name: str, file: Path) -> None:
    card = toy_card(name)
    file.write_bytes(toy_onnx(card))
    Repository(root).publish(card, {"model.onnx": file})


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a repository `models` of one model."""
    publish(tmp_path / "models", "toy", tmp_path / "toy.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
