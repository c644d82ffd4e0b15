"""Model files are loaded with their variant, class names and notes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from model_zoo.contract.errors import LineageError
from model_zoo.weights.importers import ImportedModel, load_checkpoint
from tests.model_zoo.weights.importers.originals import checkpoint, network, original_state, randomized


def test_wrong_number_of_class_names_is_replaced_and_noted(load, originals):
    imported = load(checkpoint("v7.0", network(originals, randomized(num_classes=3), names=["only one"])))
    assert imported.class_names == ("class0", "class1", "class2")
    assert any("the file has no names for them" in note for note in imported.notes)


def test_variant_can_be_requested(load):
    state = original_state(randomized())
    assert load(state, "yolov5-test").notes[0] == "yolov5-test: as requested"
    with pytest.raises(
        LineageError, match=r"Checkpoint does not match yolov5n .*model\.0\.conv\.weight \(expected \(16, 3"
    ):
        load(state, "yolov5n")


def test_other_activations_are_refused(load, originals):
    with pytest.raises(LineageError, match=r"expected the activations .*torch\.nn\.modules\.activation\.ReLU"):
        load(checkpoint("v7.0", network(originals, randomized(), activation=nn.ReLU())))


def test_other_batch_norm_eps_is_refused(load, originals):
    net = network(originals, randomized())
    net.model._modules["0"].bn.eps = 1e-5
    with pytest.raises(LineageError, match=r"expected the batch norm eps .* got 1e-05"):
        load(checkpoint("v7.0", net))


def test_other_strides_are_refused(load, originals):
    net = network(originals, randomized())
    net.stride = torch.tensor([4.0, 8.0, 16.0])
    with pytest.raises(LineageError, match=r"expected the strides .* \(4\.0, 8\.0, 16\.0\)"):
        load(checkpoint("v7.0", net))


def test_unknown_network_is_refused(load):
    with pytest.raises(LineageError, match=r"expected weights of a known network; got keys like layer1\.weight"):
        load({"layer1.weight": torch.zeros(1)})


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(LineageError, match=r"none\.pt does not exist"):
        load_checkpoint(tmp_path / "none.pt")


@pytest.fixture(scope="module")
def official(shared) -> ImportedModel:
    return load_checkpoint(shared / "weights" / "yolov5n.pt")


def test_official_file_is_identified(official):
    assert official.variant == "yolov5n"
    assert (len(official.class_names), official.class_names[0], official.class_names[79]) == (
        80,
        "person",
        "toothbrush",
    )
    assert official.sha256 == "4f180cf23ba0717ada0badd6c685026d73d48f184d00fc159c2641284b2ac0a3"


@pytest.mark.parametrize("form", ["training", "deployed"])
@torch.inference_mode()
def test_official_weights_give_the_reference_numbers(official, shared, form):
    detector = official.detector.deploy() if form == "deployed" else official.detector
    for image, index in (("000000303818_320", None), ("000000303818_640", 1), ("000000456496_640", 1)):
        with np.load(shared / "weights" / f"yolov5n_{image}.npz") as data:
            pixels = torch.from_numpy(data["input_u8"][None].astype(np.float32) / 255)
            rows = data["decoded"][0] if index is None else data["decoded_rows"]
            selected = slice(None) if index is None else torch.from_numpy(data["decoded_rows_index"])
        boxes, scores = (values[0, selected].numpy() for values in detector.forward_decoded(pixels))
        centers, sizes = rows[:, :2], rows[:, 2:4]
        expected = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
        np.testing.assert_allclose(boxes, expected, rtol=0, atol=0.01)
        np.testing.assert_allclose(scores, rows[:, 4:5] * rows[:, 5:], rtol=0, atol=1e-5)
