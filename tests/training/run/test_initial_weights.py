"""What a run starts from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model_zoo.contract.errors import LineageError
from model_zoo.registry import build
from model_zoo.weights import store
from tests.training.tiny_models import CLASSES, toy_detector
from tests.training.write_data import write_data
from training.config import TrainConfig
from training.data.dataset import Dataset
from training.data.open import open_dataset
from training.run.initial_weights import frozen_modules, load_matching, create_detector, initialize_weights


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(write_data(tmp_path_factory.mktemp("data") / "toy"))


CONFIG = TrainConfig(model="yolov5-test", image_size=(64,), seed=5)


def test_a_detector_has_the_classes_of_the_data_and_the_size_that_is_asked_for(dataset: Dataset) -> None:
    detector = create_detector(CONFIG, dataset)
    assert detector.class_names == CLASSES
    assert detector.input_spec.size == (64, 64)
    assert create_detector(replace(CONFIG, image_size=(64, 96)), dataset).input_spec.size == (64, 96)


def test_the_seed_decides_its_weights(dataset: Dataset) -> None:
    same, other = (create_detector(replace(CONFIG, seed=seed), dataset).backbone.stem.conv.weight for seed in (5, 6))
    assert torch.equal(create_detector(CONFIG, dataset).backbone.stem.conv.weight, same)
    assert not torch.equal(same, other)


def test_every_tensor_of_the_same_shape_is_taken_and_the_rest_is_told(tmp_path: Path) -> None:
    given = build("yolov5-test", class_names=["ant", "bee", "cat"])
    store.save(given, tmp_path / "given.safetensors")
    detector = toy_detector()
    own = {key: value.clone() for key, value in detector.state_dict().items()}
    note = load_matching(detector, tmp_path / "given.safetensors")
    total = len(own)
    assert note.startswith(
        f"given.safetensors: {total - 6} of {total} tensors are taken over; new are head.predict.0.bias"
    )
    for key, value in detector.state_dict().items():
        assert torch.equal(value, own[key] if key.startswith("head.predict") else given.state_dict()[key]), key


def test_a_run_can_be_started_from(tmp_path: Path) -> None:
    store.save(toy_detector(), tmp_path / "last.safetensors")
    detector = build("yolov5-test", class_names=CLASSES)
    assert "new are" not in load_matching(detector, tmp_path)
    assert torch.equal(detector.backbone.stem.conv.weight, toy_detector().backbone.stem.conv.weight)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    store.save(build("yolov1-test"), tmp_path / "other.safetensors")
    with pytest.raises(LineageError, match="expected weights of yolov5-test; got those of yolov1-test: none fits"):
        load_matching(toy_detector(), tmp_path / "other.safetensors")


def test_official_weights_start_a_run_of_other_classes(shared: Path) -> None:
    detector = build("yolov5n", class_names=["a", "b", "c"])
    before = detector.head.predict[0].weight.clone()
    note = load_matching(detector, shared / "weights" / "yolov5n.pt")
    assert "343 of 349 tensors" in note
    assert torch.equal(detector.head.predict[0].weight, before)


def test_anchors_are_fitted_where_they_fit_badly(dataset: Dataset) -> None:
    said: list[str] = []
    detector = create_detector(CONFIG, dataset)
    detector.head.anchors.mul_(20)
    initialize_weights(detector, CONFIG, dataset.split("train"), said.append)
    assert any("anchors were fitted" in line for line in said)
    assert float(detector.head.anchors.max()) < 64

    detector.head.anchors.mul_(20)
    before = detector.head.anchors.clone()
    initialize_weights(detector, replace(CONFIG, anchors="keep"), dataset.split("train"), said.append)
    assert torch.equal(detector.head.anchors, before)


def test_anchors_that_a_class_does_not_fit_are_told_and_can_be_fitted(dataset: Dataset) -> None:
    thin = np.repeat([[0, 0, 60, 2], [0, 0, 10, 12]], [1, 200], axis=0).astype(np.float32)
    class_ids = np.repeat([1, 0], [1, 200])
    first = dataset.split("train").records[0]
    record = replace(first, boxes=thin, class_ids=class_ids, crowd=np.zeros(201, bool), areas=thin[:, 2])
    split = replace(dataset.split("train"), records=[record])
    said: list[str] = []
    detector = create_detector(CONFIG, dataset)
    initialize_weights(detector, CONFIG, split, said.append)
    assert said == ["anchors: 100% of class bar fit none; `--anchors fit` suits every class"]

    said.clear()
    initialize_weights(detector, replace(CONFIG, anchors="fit"), split, said.append)
    assert len(said) == 1
    assert "anchors were fitted" in said[0]


def test_a_backbone_starts_from_darknets_weights(tmp_path: Path, dataset: Dataset) -> None:
    detector = build("yolov3-test", class_names=CLASSES)
    count = sum(v.numel() for k, v in detector.backbone.state_dict().items() if not k.endswith("num_batches_tracked"))
    header = np.array([0, 2, 0, 0, 0], dtype="<i4").tobytes()
    (tmp_path / "b.weights").write_bytes(header + np.full(count, 0.25, dtype="<f4").tobytes())
    said: list[str] = []
    config = replace(CONFIG, model="yolov3-test", backbone_weights=tmp_path / "b.weights", anchors="keep")
    initialize_weights(detector, config, dataset.split("train"), said.append)
    assert said == ["b.weights: the backbone starts from it"]
    assert {float(v.mean()) for k, v in detector.backbone.state_dict().items() if v.is_floating_point()} == {0.25}


def test_a_frozen_backbone_is_named() -> None:
    detector = toy_detector()
    assert frozen_modules(detector, CONFIG) == []
    assert frozen_modules(detector, replace(CONFIG, freeze="backbone")) == [detector.backbone]
