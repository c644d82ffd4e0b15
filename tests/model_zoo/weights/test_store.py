"""Saved detectors are restored with their weights, names, options and letterbox."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import file_sha256
from model_zoo.registry import build
from model_zoo.weights import store
from model_zoo.weights.importers import load_checkpoint
from tests.model_zoo.weights.importers.originals import original_state, randomized


@pytest.fixture
def path(tmp_path):
    return tmp_path / "best.safetensors"


def test_saved_detector_is_restored(path):
    detector = randomized()
    detector.class_names = ("ant", "bée")
    detector.input_spec = replace(detector.input_spec, size=(320, 480))
    store.save(detector, path)
    loaded = store.load(path)
    assert (loaded.variant, loaded.class_names, loaded.input_spec) == (
        *("yolov5-test", ("ant", "bée")),
        detector.input_spec,
    )
    assert not loaded.training
    for key, value in loaded.state_dict().items():
        torch.testing.assert_close(value, detector.state_dict()[key], rtol=0, atol=0)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_load_checkpoint_reads_saved_detectors(path):
    store.save(randomized(), path)
    loaded = load_checkpoint(path)
    assert loaded.notes == ("yolov5-test: according to its card", "license NOASSERTION, according to its card")
    assert loaded.sha256 == file_sha256(path)


def test_load_checkpoint_identifies_original_keys(path):
    save_file(original_state(randomized()), path)
    loaded = load_checkpoint(path)
    assert (loaded.variant, loaded.class_names) == ("yolov5-test", ("class0", "class1"))


def test_load_checkpoint_reads_a_separate_card(path):
    save_file(original_state(randomized()), path)
    card = {"variant": "yolov5-test", "class_names": ["ant", "bee"], "input_size": [320, 320]}
    path.with_name(path.name + ".json").write_text(json.dumps(card))
    loaded = load_checkpoint(path)
    assert (loaded.class_names, loaded.detector.input_spec.size) == (("ant", "bee"), (320, 320))


def test_variant_that_contradicts_the_card_is_refused(path):
    store.save(randomized(), path)
    with pytest.raises(LineageError, match="expected yolov5n; its card says yolov5-test"):
        load_checkpoint(path, "yolov5n")


def test_file_has_default_permissions(path, tmp_path):
    """A container writes it as root into a folder of the host."""
    store.save(randomized(), path)
    (other := tmp_path / "other").touch()
    assert path.stat().st_mode == other.stat().st_mode


def test_deployed_detector_is_refused(path):
    with pytest.raises(LineageError, match="expected a detector in its training form"):
        store.save(randomized().deploy(), path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "yolov9"}, "got 'yolov9'"),
        ({"variant": "yolov5n"}, "do not match: backbone"),
        ({"class_names": ["one"]}, r"2 .*do not match|do not match: head"),
        ({"class_names": "ant"}, "weights card: class_names: expected a list of strings"),
        ({"input_size": [100, 100]}, "expected an input size in multiples of 32"),
        ({"input_size": [0, 0]}, "expected an input size in multiples of 32"),
        ({"schema_version": 2}, "expected schema_version 1; got 2"),
        ({"color": "red"}, "weights card: color: unknown field"),
        ({"options": {"bins": 17}}, "yolov5-test: expected options among none; got bins"),
        ({"options": {"bins": "17"}}, "weights card: options.bins: expected an integer"),
        ({"letterbox": {"align": "left"}}, "weights card: letterbox.align: expected one of"),
        ({"cfg": "[net]\nwidth=64\nheight=64\n[gru]\n"}, r"yolov5-test\.cfg: .*expected detection layers"),
    ],
)
def test_mismatching_card_is_refused(path, change, message):
    detector = randomized()
    card = {"variant": "yolov5-test", "class_names": ["ant", "bee"], "input_size": [64, 64], **change}
    save_file(detector.state_dict(), path, metadata={store.METADATA_KEY: json.dumps(card)})
    with pytest.raises(LineageError, match=message):
        store.load(path)


def test_damaged_file_is_refused(path):
    store.save(randomized(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LineageError, match="expected a complete safetensors file"):
        store.load(path)


def test_weights_without_card_are_refused(path):
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(LineageError, match="expected weights with a card"):
        store.load(path)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_float_types_missing_in_numpy_become_float32(path, dtype):
    save_file({"a": torch.tensor([1.5]).to(dtype)}, path)
    state, card = store.read(path)
    assert card is None
    np.testing.assert_array_equal(state["a"], np.float32([1.5]))


def test_loaded_detector_is_in_evaluation_mode(path):
    store.save(build("yolov5-test").train(), path)
    assert not store.load(path).training
