"""Finished files and packages are published only if they are of this project and run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.repository import Repository
from model_zoo.publish import publish_model
from model_zoo.runtime import sessions
from model_zoo.runtime.base import check_card
from model_zoo.runtime.open import open_engine
from tests.tiny_onnx import toy_card, toy_onnx

onnx = pytest.importorskip("onnx")


@pytest.fixture
def models(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "models")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "toy.onnx"
    path.write_bytes(toy_onnx(toy_card()))
    return path


@pytest.mark.parametrize("name", [None, "toy", "cars"])
def test_exported_file_is_published_under_a_name(exported: Path, models: Repository, name: str | None) -> None:
    package = publish_model(exported, models, name)
    assert (package.name, package.version, package.card.name) == (name or "toy", 1, name or "toy")
    package.verify()
    engine = open_engine(package)  # which compares the card inside with card.json
    engine.warm_up()
    engine.close()
    assert publish_model(str(exported), models, name).version == 2


def test_package_of_another_repository_is_published(exported: Path, models: Repository, tmp_path: Path) -> None:
    original = publish_model(exported, Repository(tmp_path / "other"), "toy")
    (original.path / "notes.txt").write_text("not in the manifest")
    same, renamed = publish_model(original.path, models), publish_model(original.path, models, "cars")
    assert same.digest == original.digest
    golden = {"golden/1.png", "golden/2.png", "golden/3.png", "golden/expected.json"}
    assert (renamed.name, {file.name for file in renamed.files}) == ("cars", {"model.onnx", "card.json"} | golden)
    original.model_path.write_bytes(b"damaged")
    with pytest.raises(PackageError, match=r"model\.onnx is damaged"):
        publish_model(original.path, models)


def _foreign(path: Path) -> None:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "foreign",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path)


def _foreign_with_card(path: Path) -> None:
    _foreign(path)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, toy_card().to_metadata())
    onnx.save(model, path)


def _raw(path: Path) -> None:
    path.write_bytes(toy_onnx(toy_card(output="raw")))


def _bad_card(path: Path) -> None:
    model = onnx.load_from_string(toy_onnx(toy_card()))
    onnx.helper.set_model_props(model, {"lineage.card": "{}"})
    onnx.save(model, path)


def _weights_in_another_file(path: Path) -> None:
    model = onnx.load_from_string(toy_onnx(toy_card()))
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=1000)


def _wrong_size(path: Path) -> None:
    """Write a graph of another number of classes than colors: it does not run at all."""
    path.write_bytes(toy_onnx(toy_card(), work=0).replace(b"to_boxes", b"to_boxez", 1))


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "foreign": (_foreign, "expected an .onnx file that `lineage export --output` has written.*contains no card"),
    "card without the graph": (_foreign_with_card, "expected the inputs images .*; got x tensor"),
    "raw": (_raw, "export it without --raw"),
    "bad card": (_bad_card, "expected an .onnx file that .*model card"),
    "weights in another file": (_weights_in_another_file, "ONNX Runtime cannot load it"),
    "broken graph": (_wrong_size, "ONNX Runtime cannot load it"),
    "empty": (lambda path: path.write_bytes(b""), "expected an .onnx file"),
    "text": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"), "expected an .onnx file"),
}


@pytest.mark.parametrize(("write", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_other_onnx_files_are_refused(
    tmp_path: Path, models: Repository, write: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "some.onnx"
    write(path)
    with pytest.raises(PackageError, match=message) as caught:
        publish_model(path, models, "cars")
    assert str(path) in str(caught.value)
    assert not models.root.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("yolov5n.pt", "these are weights: lineage import"),
        ("best.safetensors", "these are weights: lineage import"),
        ("toy.engine", "a plan needs the package of its model"),
        ("toy.zip", "unpack the archive first"),
        ("none.onnx", "it does not exist"),
        ("pipe.onnx", "it is no regular file"),
        ("run/", "the folder of a run: lineage export"),
        ("folder/", "the folder has no manifest.json"),
    ],
)
def test_unsuitable_sources_are_named(tmp_path: Path, models: Repository, name: str, message: str) -> None:
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    elif name == "pipe.onnx":
        os.mkfifo(path)
    elif name != "none.onnx":
        path.write_bytes(b"contents")
    if name == "run/":
        (path / "config.json").write_text("{}")
    with pytest.raises(PackageError, match=message):
        publish_model(path, models)


def test_canvases_can_be_changed_in_a_new_version(exported: Path, models: Repository) -> None:
    original = publish_model(exported, models, "cars")
    changed = publish_model(original.path, models, shapes="buckets")
    assert (original.card.shapes, changed.card.shapes, changed.version) == ("square", "buckets", 2)
    check_card(changed, sessions.read_card(changed.model_path))
    assert publish_model(changed.path, models).card.shapes == "buckets"


def test_package_inside_the_folder_is_suggested(exported: Path, models: Repository) -> None:
    package = publish_model(exported, models, "cars")
    for folder in (package.path.parent, models.root):
        with pytest.raises(PackageError) as caught:
            publish_model(folder, models)
        assert str(caught.value).endswith(f"; did you mean {package.path}?")


def test_file_in_place_of_the_repository_is_named(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"toy\.\w+: expected a folder; got a file"):
        publish_model(exported, Repository(exported))


def test_golden_images_of_a_user_replace_those_of_a_package(exported: Path, models: Repository, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "mine.png"), np.full((64, 64, 3), (200, 90, 10), np.uint8))
    original = publish_model(exported, models)
    again = publish_model(original.path, models, golden=tmp_path)
    assert {f.name for f in again.files if f.name.startswith("golden/")} == {"golden/1.jpg", "golden/expected.json"}
    with pytest.raises(LineageError, match=r"--golden: expected a folder of images; .*missing is not a folder"):
        publish_model(exported, models, golden=tmp_path / "missing")


def test_package_that_detects_something_else_here_is_refused(
    exported: Path, models: Repository, tmp_path: Path
) -> None:
    original = publish_model(exported, Repository(tmp_path / "other"))
    files = {file.name: original.path / file.name for file in original.files if file.name != "card.json"}
    document = json.loads(files["golden/expected.json"].read_text())
    for case in document["cases"]:
        case["detections"] = [[9, 9, 99, 99, 0.9, 0]]
    (tmp_path / "wrong.json").write_text(json.dumps(document))
    files["golden/expected.json"] = tmp_path / "wrong.json"
    wrong = Repository(tmp_path / "other").publish(original.card, files)
    with pytest.raises(PackageError, match=r"toy@2: golden image 1\.png .*expected \w+ 0\.9 at \[9\.0"):
        publish_model(wrong.path, models)
    assert not models.root.exists()


def test_quantization_reports_next_to_the_file_are_published(exported: Path, models: Repository) -> None:
    for suffix in (".txt", ".json"):
        exported.with_suffix(f".quantization{suffix}").write_text("report")
    package = publish_model(exported, models)
    names = {"model.onnx", "card.json", "model.quantization.txt", "model.quantization.json"}
    assert {file.name for file in package.files if not file.name.startswith("golden/")} == names


@pytest.mark.parametrize("name", ["../up", "", "a/b", ".hidden", "a b", "x" * 101])
def test_invalid_name_is_refused(exported: Path, models: Repository, name: str) -> None:
    with pytest.raises(LineageError, match="--name: expected letters, digits"):
        publish_model(exported, models, name)
    assert not models.root.exists()


def test_plan_that_cannot_run_here_is_not_published(exported: Path, models: Repository, tmp_path: Path) -> None:
    (tmp_path / "model.engine").write_bytes(b"rtx" * 100)
    files = {"model.onnx": exported, "model.engine": tmp_path / "model.engine"}
    original = Repository(tmp_path / "other").publish(toy_card(), files)
    with pytest.raises(PackageError, match=r"model\.engine: this machine cannot run the plan"):
        publish_model(original.path, models)
    assert not models.root.exists()


def test_metadata_of_the_file_is_kept(exported: Path, models: Repository) -> None:
    model = onnx.load(exported)
    onnx.helper.set_model_props(model, {"author": "me"} | toy_card().to_metadata())
    onnx.save(model, exported)
    renamed = onnx.load(publish_model(exported, models, "cars").model_path)
    metadata = {entry.key: entry.value for entry in renamed.metadata_props}
    assert metadata["author"] == "me"
    assert ModelCard.from_metadata(metadata).name == "cars"
    initializers = [onnx.numpy_helper.to_array(tensor) for tensor in renamed.graph.initializer]
    expected = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    assert all(np.array_equal(a, b) for a, b in zip(initializers, expected, strict=True))
