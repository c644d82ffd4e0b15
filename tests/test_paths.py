"""Paths may be `str` wherever a Python user passes one, and images may be arrays or PIL images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_zoo import convert
from model_zoo.contract import pipeline
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.images import decode_image
from model_zoo.contract.images.files import find_images, read_image_file, write_image
from model_zoo.contract.repository import Repository
from model_zoo.export.calibration import read_calibration_images
from model_zoo.outputs.drawn import plan_copies, save_drawn
from model_zoo.registry import build
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.detect_frames import FrameResult, detect_frames
from model_zoo.runtime.model_file import open_model_file
from model_zoo.runtime.open import open_engine
from model_zoo.sources.open import open_sources
from model_zoo.weights import store
from tests.tiny_onnx import toy_card, toy_onnx
from tests.training.write_data import write_data
from training.config import TrainConfig
from training.data.open import open_dataset
from training.data.validation.check import check_dataset
from training.data.validation.plots import write_plots
from training.data.validation.statistics import count_dataset
from training.evaluate.source import open_source
from training.run.run_folder import read_config, weights_in
from training.run.train import train


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model file and an image."""
    monkeypatch.chdir(tmp_path)
    Path("toy.onnx").write_bytes(toy_onnx(toy_card()))
    write_image("images/red.png", np.full((64, 64, 3), (250, 100, 20), np.uint8))
    return tmp_path


def test_repository_and_model_file(folder: Path) -> None:
    repository = Repository("models")
    assert repository == Repository(Path("models"))
    package = repository.publish(toy_card(), {"model.onnx": "toy.onnx"})
    assert ModelCard.read(os.path.join(package.path, "card.json")) == open_model_file("toy.onnx").card
    assert open_source("toy", "models").card == open_source(Path("toy.onnx"), "models").card


def test_image_files(folder: Path) -> None:
    assert find_images("images") == find_images(Path("images")) == find_images(["images"]) == [Path("images/red.png")]
    assert decode_image(read_image_file("images/red.png"))[0, 0].tolist() == [250, 100, 20]
    package = open_model_file("toy.onnx")
    query = pipeline.make_query(package.card)
    engine = open_engine(package)
    for source in ("images/red.png", Path("images/red.png")):
        sources = open_sources([source])
        copies = plan_copies(sources.items, "drawn")
        [result] = save_drawn(detect_frames(engine, query, sources), copies, package.card.class_names, 1)
        assert isinstance(result, FrameResult)
        assert len(result.detections)
        assert Path("drawn/red.png").is_file()
    assert len(read_calibration_images("images", package.card)) == 1


def test_weights_are_loaded_and_exported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing the graph takes seconds and has its own tests."""
    written = []
    monkeypatch.setattr(convert, "_write", lambda detector, card, path, options, log: written.append((card, path)))
    store.save(build("yolov5-test"), "weights.safetensors")
    card = convert.export_weights("weights.safetensors", "exported.onnx")
    assert written == [(card, Path("exported.onnx"))]
    assert convert.load_weights("weights.safetensors").weights.origin == "weights.safetensors"


def test_dataset_and_training(folder: Path) -> None:
    write_data(Path("data"))
    dataset = open_dataset("data")
    assert dataset.root == Path("data")
    assert not any(finding.severity == "error" for finding in check_dataset("data"))
    assert all(path.is_file() for path in write_plots(dataset, count_dataset(dataset), "plots", 64))
    config = TrainConfig(
        model="yolov5-test",
        data="data",
        runs="runs",
        epochs=1,
        batch=4,
        image_size=(64,),
        workers=0,  # type: ignore[arg-type]
    )
    result = train(config)
    assert weights_in(str(result.folder)).is_file()
    assert read_config(str(result.folder))[0].data == Path("data")


def test_images_are_arrays_or_pil_images(folder: Path) -> None:
    package = open_model_file("toy.onnx")
    engine, query = open_engine(package), pipeline.make_query(package.card)
    array = decode_image(read_image_file("images/red.png"))
    for image in (array, Image.open("images/red.png")):
        [found] = pipeline.detect(package.card, engine.run, [image], query)  # type: ignore[list-item]
        assert len(found) > 0


def test_too_many_images_in_a_run_are_refused_with_the_fix(folder: Path) -> None:
    package = open_model_file("toy.onnx")
    images, query = [np.zeros((64, 64, 3), np.uint8)] * 2, pipeline.make_query(package.card)
    with pytest.raises(LineageError, match=r"at most 1 images per run; got 2; .*EngineOptions\(max_batch=2\)"):
        pipeline.detect(package.card, open_engine(package, EngineOptions(provider="cpu")).run, images, query)
    engine = open_engine(package, EngineOptions(provider="cpu", max_batch=2))
    assert len(pipeline.detect(package.card, engine.run, images, query)) == 2


@pytest.mark.parametrize(
    ("image", "actual"),
    [
        (np.zeros((8, 8), np.uint8), r"uint8 of shape \(8, 8\)"),
        (np.zeros((8, 8, 4), np.uint8), r"uint8 of shape \(8, 8, 4\)"),
        (np.zeros((3, 8, 8), np.uint8), r"uint8 of shape \(3, 8, 8\)"),
        (np.zeros((8, 8, 3), np.float32), "float32"),
        (np.zeros((0, 8, 3), np.uint8), r"uint8 of shape \(0, 8, 3\)"),
        (Image.new("L", (8, 8)), r"uint8 of shape \(8, 8\)"),
        ("photo.jpg", "<U9"),
        (None, "object"),
    ],
    ids=["gray", "RGBA", "channels first", "float", "empty", "gray PIL", "path", "None"],
)
def test_other_images_are_refused(image: object, actual: str) -> None:
    with pytest.raises(ImageError, match=f"expected RGB pixels, uint8 of shape .*got {actual}"):
        pipeline.preprocess(toy_card(), image)  # type: ignore[arg-type]


@pytest.mark.parametrize("classes", ["red", 0, ["red"], [0], ("red", 0)])
def test_one_class_needs_no_list(classes: str | int | list[str | int]) -> None:
    assert pipeline.make_query(toy_card(), classes=classes).class_ids == frozenset({0})
