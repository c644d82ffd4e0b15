"""Initial detector, weights and anchors of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model_zoo.contract.card import ParentWeights, WeightsOrigin
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import file_sha256
from model_zoo.registry import build
from model_zoo.weights import store
from tests.training.tiny_models import CLASSES, toy_detector
from tests.training.write_data import write_data
from training.config import TrainConfig
from training.data.dataset import Dataset
from training.data.open import open_dataset
from training.run.initial_weights import (
    backbone_origin,
    create_detector,
    frozen_modules,
    initialize_weights,
    load_matching,
    trained_from,
)
from training.run.run_folder import BEST


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(write_data(tmp_path_factory.mktemp("data") / "toy"))


CONFIG = TrainConfig(model="yolov5-test", image_size=(64,), seed=5)


def test_detector_has_the_datasets_classes_and_the_requested_size(dataset: Dataset) -> None:
    detector = create_detector(CONFIG, dataset)
    assert detector.class_names == CLASSES
    assert detector.input_spec.size == (64, 64)
    assert create_detector(replace(CONFIG, image_size=(64, 96)), dataset).input_spec.size == (64, 96)


def test_weights_depend_on_the_seed(dataset: Dataset) -> None:
    same, other = (create_detector(replace(CONFIG, seed=seed), dataset).backbone.stem.conv.weight for seed in (5, 6))
    assert torch.equal(create_detector(CONFIG, dataset).backbone.stem.conv.weight, same)
    assert not torch.equal(same, other)


def test_matching_tensors_are_loaded_and_the_others_are_listed(tmp_path: Path) -> None:
    given = build("yolov5-test", class_names=["ant", "bee", "cat"])
    store.save(given, tmp_path / "given.safetensors")
    detector = toy_detector()
    own = {key: value.clone() for key, value in detector.state_dict().items()}
    note = load_matching(detector, tmp_path / "given.safetensors")
    total = len(own)
    assert note.startswith(f"given.safetensors: loaded {total - 6} of {total} tensors; not loaded: head.predict.0.bias")
    for key, value in detector.state_dict().items():
        assert torch.equal(value, own[key] if key.startswith("head.predict") else given.state_dict()[key]), key


def test_other_names_of_the_same_number_of_classes_are_warned_about(tmp_path: Path) -> None:
    store.save(toy_detector(), tmp_path / "last.safetensors")
    assert "class names" not in load_matching(toy_detector(), tmp_path)
    swapped = build("yolov5-test", class_names=CLASSES[::-1])
    assert f"warning: class names differ: {CLASSES[0]!r} becomes {CLASSES[-1]!r}" in load_matching(swapped, tmp_path)


@pytest.mark.parametrize("anchors", ["auto", "fit"])
def test_anchors_are_kept_if_all_objects_are_tiny(anchors: str, dataset: Dataset) -> None:
    tiny = [replace(r, boxes=r.boxes * 0.01 / max(r.size), size=(100, 100)) for r in dataset.split("train").records]
    split = replace(dataset.split("train"), records=tuple(tiny))
    messages: list[str] = []
    detector = create_detector(CONFIG, dataset)
    before = detector.head.anchors.clone()
    initialize_weights(detector, replace(CONFIG, anchors=anchors), split, messages.append)
    assert torch.equal(detector.head.anchors, before)
    assert messages == ["warning: no object has 2 pixels at this image size; the network's own anchors are kept"]


def test_folder_of_a_run_is_a_source_of_weights(tmp_path: Path) -> None:
    store.save(toy_detector(), tmp_path / "last.safetensors")
    detector = build("yolov5-test", class_names=CLASSES)
    assert "not loaded" not in load_matching(detector, tmp_path)
    assert torch.equal(detector.backbone.stem.conv.weight, toy_detector().backbone.stem.conv.weight)


def test_weights_of_another_network_are_an_error(tmp_path: Path) -> None:
    store.save(build("yolov1-test"), tmp_path / "other.safetensors")
    with pytest.raises(LineageError, match="expected weights of yolov5-test; got yolov1-test, no tensor matches"):
        load_matching(toy_detector(), tmp_path / "other.safetensors")


def test_official_weights_load_into_a_detector_of_other_classes(shared: Path) -> None:
    detector = build("yolov5n", class_names=["a", "b", "c"])
    before = detector.head.predict[0].weight.clone()
    note = load_matching(detector, shared / "weights" / "yolov5n.pt")
    assert "loaded 343 of 349 tensors" in note
    assert torch.equal(detector.head.predict[0].weight, before)


def test_badly_matching_anchors_are_fitted_unless_kept(dataset: Dataset) -> None:
    messages: list[str] = []
    detector = create_detector(CONFIG, dataset)
    detector.head.anchors.mul_(20)
    initialize_weights(detector, CONFIG, dataset.split("train"), messages.append)
    assert any("anchors were fitted" in line for line in messages)
    assert float(detector.head.anchors.max()) < 64

    detector.head.anchors.mul_(20)
    before = detector.head.anchors.clone()
    initialize_weights(detector, replace(CONFIG, anchors="keep"), dataset.split("train"), messages.append)
    assert torch.equal(detector.head.anchors, before)


def test_class_without_matching_anchors_is_logged_and_can_be_fitted(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.run.anchors.BALANCED_BOXES", 400)
    thin = np.repeat([[0, 0, 60, 2], [0, 0, 10, 12]], [1, 200], axis=0).astype(np.float32)
    class_ids = np.repeat([1, 0], [1, 200])
    first = dataset.split("train").records[0]
    record = replace(first, boxes=thin, class_ids=class_ids, crowd=np.zeros(201, bool), areas=thin[:, 2])
    split = replace(dataset.split("train"), records=[record])
    messages: list[str] = []
    detector = create_detector(CONFIG, dataset)
    initialize_weights(detector, CONFIG, split, messages.append)
    assert messages == ["warning: 100% of class bar match no anchor. To fit anchors to every class, use --anchors fit"]

    messages.clear()
    initialize_weights(detector, replace(CONFIG, anchors="fit"), split, messages.append)
    assert len(messages) == 1
    assert "anchors were fitted" in messages[0]


def test_backbone_loads_darknets_weights(tmp_path: Path, dataset: Dataset) -> None:
    detector = build("yolov3-test", class_names=CLASSES)
    count = sum(v.numel() for k, v in detector.backbone.state_dict().items() if not k.endswith("num_batches_tracked"))
    header = np.array([0, 2, 0, 0, 0], dtype="<i4").tobytes()
    (tmp_path / "b.weights").write_bytes(header + np.full(count, 0.25, dtype="<f4").tobytes())
    messages: list[str] = []
    config = replace(CONFIG, model="yolov3-test", backbone_weights=tmp_path / "b.weights", anchors="keep")
    initialize_weights(detector, config, dataset.split("train"), messages.append)
    assert messages[0] == "b.weights: loaded into the backbone"
    assert messages[1].startswith("trained from b.weights (unknown)")
    assert {float(v.mean()) for k, v in detector.backbone.state_dict().items() if v.is_floating_point()} == {0.25}


def test_freeze_selects_the_backbone() -> None:
    detector = toy_detector()
    assert frozen_modules(detector, CONFIG) == []
    assert frozen_modules(detector, replace(CONFIG, freeze="backbone")) == [detector.backbone]


def test_parents_and_their_parents_are_recorded(tmp_path: Path, dataset: Dataset) -> None:
    run = tmp_path / "first"
    official = WeightsOrigin("AGPL-3.0", "yolov5n.pt", "0" * 64, parents=())
    given = toy_detector()
    given.weights = trained_from(official, given.weights)
    store.save(given, run / BEST)
    detector, messages = create_detector(CONFIG, dataset), []
    assert detector.weights.parents == ()
    initialize_weights(detector, replace(CONFIG, weights=run), dataset.split("train"), messages.append)
    assert detector.weights == WeightsOrigin(
        "AGPL-3.0",
        "training run",
        parents=(
            ParentWeights("first/best.safetensors", file_sha256(run / BEST), "AGPL-3.0"),
            ParentWeights("yolov5n.pt", "0" * 64, "AGPL-3.0"),
        ),
    )
    assert any(line.startswith("trained from first/best.safetensors (AGPL-3.0)") for line in messages)


def test_backbone_weights_are_a_parent(tmp_path: Path) -> None:
    (tmp_path / "darknet53.conv.74").write_bytes(b"a")
    (tmp_path / "mine.weights").write_bytes(b"b")
    origins = [backbone_origin(tmp_path / name) for name in ("darknet53.conv.74", "mine.weights")]
    assert [origin.license for origin in origins] == ["LicenseRef-Darknet", "unknown"]
    both = trained_from(origins[1], trained_from(origins[0], WeightsOrigin(parents=())))
    assert [parent.name for parent in both.parents or ()] == ["darknet53.conv.74", "mine.weights"]
    assert both.license == "unknown"
