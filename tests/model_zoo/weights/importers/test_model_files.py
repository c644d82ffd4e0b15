"""Model files are loaded with their variant, class names and notes."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from model_zoo.contract.card import ParentWeights, WeightsOrigin
from model_zoo.contract.errors import LineageError
from model_zoo.registry import build
from model_zoo.weights import store
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


def test_state_of_a_training_is_refused(load):
    with pytest.raises(LineageError, match=r"got the state of a training\. Use best\.safetensors beside it"):
        load({"average/layer1.weight": torch.zeros(1)})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(load, originals, value):
    net = randomized()
    next(net.parameters()).data.view(-1)[0] = value
    with pytest.raises(LineageError, match=r"expected finite weights; got NaN or infinity in 1 tensor, such as "):
        load(checkpoint("v7.0", network(originals, net)))


def test_file_without_tensors_is_refused(tmp_path):
    (tmp_path / "none.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(LineageError, match="the file has no tensors"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(LineageError, match=r"none\.pt does not exist"):
        load_checkpoint(tmp_path / "none.pt")


def test_name_of_official_weights_suggests_pull():
    with pytest.raises(LineageError, match=r"yolov5n does not exist; its official weights .* lineage pull yolov5n$"):
        load_checkpoint("yolov5n")


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


def test_kind_of_file_is_recognized_whatever_its_name(tmp_path):
    detector = randomized()
    torch.save(original_state(detector), tmp_path / "a.safetensors")
    store.save(detector, tmp_path / "b.pt")
    assert load_checkpoint(tmp_path / "a.safetensors").variant == load_checkpoint(tmp_path / "b.pt").variant


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".weights", ".safetensors"])
def test_other_files_are_named_in_the_error(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    for contents, kind in (
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<html>", "web page"),
    ):
        path.write_bytes(contents)
        with pytest.raises(LineageError, match=rf"^weights\{suffix}: expected a PyTorch checkpoint, .*; got a.*{kind}"):
            load_checkpoint(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(LineageError, match="got a folder"):
        load_checkpoint(path)


def test_torchscript_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:  # as torch.jit.save writes
        for name in ("a/data.pkl", "a/code/__torch__/net.py", "a/constants.pkl"):
            archive.writestr(name, b"x")
    with pytest.raises(LineageError, match=r"got a TorchScript archive\. .*use the checkpoint it was made from"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([0, 1], ("0", "1")),
        ({0: 2146, 1: 21008}, ("2146", "21008")),
        ({1: "cup", 2: "fork"}, ("cup", "fork")),
        ({"0": None, "1": True}, ("class0", "True")),
        ({0.0: 1.5, 1.0: "cup, glass"}, ("1.5", "cup, glass")),
        (("cup", "cup"), ("cup", "cup")),
    ],
)
def test_class_names_of_any_type_become_text(load, originals, names, expected):
    assert load(checkpoint("v7.0", network(originals, randomized(), names=names))).class_names == expected


def test_class_names_of_mmdetection_are_read(load):
    state = {"state_dict": original_state(randomized()), "meta": {"dataset_meta": {"classes": ("ant", "bee")}}}
    assert load(state).class_names == ("ant", "bee")


def test_names_file_is_used(tmp_path):
    torch.save(original_state(randomized()), tmp_path / "a.pt")
    (tmp_path / "my.names").write_bytes(b"ant\r\nbee\r\n")
    imported = load_checkpoint(str(tmp_path / "a.pt"), names=str(tmp_path / "my.names"))
    assert imported.class_names == ("ant", "bee")
    assert any(note.endswith("names from " + str(tmp_path / "my.names")) for note in imported.notes)
    (tmp_path / "my.names").write_bytes(b"ant\nbee\ncow\n")
    with pytest.raises(LineageError, match="2 classes; got 3"):
        load_checkpoint(tmp_path / "a.pt", names=tmp_path / "my.names")


class TestLicense:
    def test_official_file_is_recognized_by_its_hash(self, official):
        assert official.detector.weights == WeightsOrigin("AGPL-3.0", "yolov5n.pt", official.sha256, ())
        assert official.notes[-1] == "license AGPL-3.0: the official release of yolov5n, by its SHA-256"

    def test_official_variant_and_classes_are_recognized(self, tmp_path):
        torch.save(original_state(build("yolov5n")), tmp_path / "best.pt")
        imported = load_checkpoint(tmp_path / "best.pt")
        assert imported.detector.weights.license == "AGPL-3.0"
        assert "assumed: variant and classes are those of the official release of yolov5n" in imported.notes[-1]

    def test_other_weights_are_unknown_and_said_to_be(self, tmp_path):
        torch.save(original_state(build("yolov5n", 3)), tmp_path / "best.pt")
        imported = load_checkpoint(tmp_path / "best.pt")
        assert (imported.detector.weights.license, imported.detector.weights.parents) == ("unknown", None)
        assert "warning: the license of these weights is not known" in imported.notes[-1]
        assert "under AGPL-3.0" in imported.notes[-1]

    def test_given_license_counts_and_a_contradiction_is_noted(self, tmp_path):
        torch.save(original_state(build("yolov5n")), tmp_path / "best.pt")
        imported = load_checkpoint(tmp_path / "best.pt", license="MIT")
        assert imported.detector.weights.license == "MIT"
        assert imported.notes[-1].startswith("license MIT, as given; license AGPL-3.0, assumed")

    def test_card_of_an_own_file_counts(self, tmp_path):
        detector = randomized()
        parents = (ParentWeights("yolov5n.pt", "0" * 64, "AGPL-3.0"),)
        detector.weights = WeightsOrigin("AGPL-3.0", "run bccd", parents=parents)
        store.save(detector, tmp_path / "best.safetensors")
        imported = load_checkpoint(tmp_path / "best.safetensors")
        expected = WeightsOrigin("AGPL-3.0", "best.safetensors", imported.sha256, parents)
        assert imported.detector.weights == expected
        assert imported.notes[-1] == "license AGPL-3.0, according to its card"
