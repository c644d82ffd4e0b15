"""An int8 package and a dataset whose objects are the float32 model's own detections."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from lineage.cli.main import main
from model_zoo.contract import pipeline
from model_zoo.contract.boxes import xyxy_to_xywh
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.export.layer_statistics import measure_peaks
from model_zoo.export.onnx import write_onnx
from model_zoo.export.quantize import layers_to_quantize, quantize
from tests.exports import ExportedModel, make_once, tiny_export
from tests.repositories import publish, repository, toy
from tests.training.evaluate.scene import Scene
from training.data.dataset import Dataset
from training.data.open import open_dataset
from training.evaluate.network import network_run

__all__ = ["publish", "repository", "toy"]

SIZES = ((128, 160), (96, 200), (240, 160), (64, 64))
IMAGES, OBJECTS = 12, 6


def draw_image(seed: int) -> np.ndarray:
    """Draw smooth random colors. The size depends on the seed."""
    height, width = SIZES[seed % len(SIZES)]
    colors = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(colors, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="session")
def scene(shared: Path) -> Scene:
    return Scene(shared / "parity" / "training" / "coco_eval")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    """The exported tiny detector, float32 with a dynamic size."""
    return tiny_export(tmp_path_factory)


@pytest.fixture(scope="session")
def int8_package(tiny: ExportedModel, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The tiny detector in int8."""
    folder = tmp_path_factory.mktemp("int8")
    card = replace(tiny.card, precision="int8")
    images = [pipeline.preprocess(card, draw_image(seed)).pixels[None] for seed in range(4)]
    layers = layers_to_quantize(tiny.raw)
    model = quantize(tiny.end_to_end, layers, measure_peaks(tiny.detector.deploy(), layers, images))
    onnx.helper.set_model_props(model, card.to_metadata())
    write_onnx(model, folder / "model.onnx")
    return Repository(folder / "models").publish(card, {"model.onnx": folder / "model.onnx"})


@pytest.fixture(scope="session")
def int8_yolov5n(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The official yolov5n in int8 at 320 pixels."""
    weights, images = shared / "weights" / "yolov5n.pt", shared / "data" / "coco_mini" / "images"
    calibration = ["--precision", "int8", "--calibration", str(images), "--calibration-images", "8"]

    def run_import(folder: Path) -> None:
        name = ["--name", "yolov5n", "--repository", str(folder), "--image-size", "320"]
        assert main(["import", str(weights), *name, *calibration]) == 0

    return Repository(make_once(tmp_path_factory, "int8-yolov5n", run_import)).resolve("yolov5n")


@pytest.fixture(scope="session")
def dataset(tiny: ExportedModel, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Images with the best detections of the float32 network as objects, so that int8 finds most but not all."""
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "annotations").mkdir()
    (folder / "images").mkdir()
    card = tiny.card
    run, query = network_run(tiny.detector, card), pipeline.make_query(card, score=0.3, max_detections=OBJECTS)
    images, annotations = [], []
    for seed in range(IMAGES):
        image, name = draw_image(seed), f"{seed}.png"
        cv2.imwrite(str(folder / "images" / name), image[..., ::-1])
        images.append({"id": seed + 1, "file_name": name, "height": image.shape[0], "width": image.shape[1]})
        (found,) = pipeline.detect(card, run, [image], query)
        for box, class_id in zip(xyxy_to_xywh(found.boxes).tolist(), found.class_ids.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": seed + 1,
                    "category_id": class_id + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(card.class_names)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations" / "val.json").write_text(json.dumps(document))
    return open_dataset(Path(folder))
