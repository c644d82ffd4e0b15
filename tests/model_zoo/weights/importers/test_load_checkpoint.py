"""Official checkpoints of every version in, as detectors that give the same numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.weights.importers import ImportedModel, from_state_dict, load_checkpoint
from tests.model_zoo.weights.importers.originals import Originals, checkpoint, network, original_state, randomized


@pytest.fixture
def originals(monkeypatch) -> Originals:
    return Originals(monkeypatch)


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write an object as torch does and load it, when the original classes cannot be imported any more."""

    def load(content: object, variant: str | None = None, **how: bool) -> ImportedModel:
        path = tmp_path / "weights.pt"
        torch.save(content, path, **how)
        for name in ("models", "models.yolo", "models.common"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return load_checkpoint(path, variant)

    return load


def assert_same(found: Detector, expected: Detector) -> None:
    state = expected.state_dict()
    assert found.state_dict().keys() == state.keys()
    for key, value in found.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0 if "anchors" not in key else 0.1)


@pytest.mark.parametrize("version", ["v6.0", "v6.2", "v7.0"])
def test_whole_modules_of_every_version(version, load, originals):
    detector = randomized()
    names: object = {0: "ant", 1: "bee"} if version == "v7.0" else ["ant", "bee"]
    found = load(checkpoint(version, network(originals, detector, version, names)))
    assert (found.variant, found.class_names) == ("yolov5-test", ("ant", "bee"))
    assert not found.detector.training
    assert_same(found.detector, detector)


def test_the_focus_stem_of_v5_0(load, originals):
    detector = randomized("yolov5s-focus", 2)
    found = load(checkpoint("v5.0", network(originals, detector, "v5.0")))
    assert found.variant == "yolov5s-focus"
    assert "Focus stem of 32 channels" in found.notes[0]
    assert_same(found.detector, detector)


def test_the_averaged_weights_are_preferred(load, originals):
    model, average = randomized(seed=1), randomized(seed=2)
    found = load(checkpoint("v7.0", network(originals, model), network(originals, average)))
    assert_same(found.detector, average)
    assert "weights loaded from 'ema'" in found.notes


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code:UserWarning")  # the stand-in classes have none
def test_the_stream_format_of_old_torch(load, originals):
    detector = randomized()
    content = checkpoint("v6.0", network(originals, detector, "v6.0"))
    assert_same(load(content, _use_new_zipfile_serialization=False).detector, detector)


def test_a_plain_state_dict_and_one_wrapped_for_several_gpus(load):
    detector = randomized()
    state = original_state(detector)
    assert_same(load(state).detector, detector)
    assert_same(load({"state_dict": {f"module.{key}": value for key, value in state.items()}}).detector, detector)


def test_a_network_wrapped_for_several_gpus(load, originals):
    detector = randomized()
    assert_same(load({"model": nn.DataParallel(network(originals, detector))}).detector, detector)


def test_bfloat16_and_views_of_one_storage(load):
    detector = randomized()
    state = {k: v.bfloat16() if v.is_floating_point() else v for k, v in original_state(detector).items()}
    weight = state["model.0.conv.weight"]
    state["model.0.conv.weight"] = torch.cat([weight, weight])[: len(weight)]
    found = load(state).detector.state_dict()["backbone.stem.conv.weight"]
    torch.testing.assert_close(found, weight.float(), rtol=0, atol=0)


def test_names_that_do_not_fit_are_replaced_and_the_user_is_told(load, originals):
    found = load(checkpoint("v7.0", network(originals, randomized(num_classes=3), names=["only one"])))
    assert found.class_names == ("class0", "class1", "class2")
    assert any("the file has no names for them" in note for note in found.notes)


def test_fitted_anchors_are_kept(load):
    state = original_state(randomized())
    state["model.24.anchors"] = torch.arange(1, 19).view(3, 3, 2) / 8
    anchors = load(state).detector.head.anchors
    assert anchors[0, 0].tolist() == [1.0, 2.0]
    assert anchors[2, 2].tolist() == [17 * 4.0, 18 * 4.0]


def test_the_variant_can_be_named(load):
    state = original_state(randomized())
    assert load(state, "yolov5-test").notes[0] == "yolov5-test: as requested"
    with pytest.raises(
        LineageError, match=r"Checkpoint does not match yolov5n .*model\.0\.conv\.weight \(expected \(16, 3"
    ):
        load(state, "yolov5n")


def test_other_activations_are_another_network(load, originals):
    with pytest.raises(LineageError, match=r"expected the activations .*torch\.nn\.modules\.activation\.ReLU"):
        load(checkpoint("v7.0", network(originals, randomized(), activation=nn.ReLU())))


def test_other_batch_norm_eps_is_another_network(load, originals):
    net = network(originals, randomized())
    net.model._modules["0"].bn.eps = 1e-5
    with pytest.raises(LineageError, match=r"expected the batch norm eps .* got 1e-05"):
        load(checkpoint("v7.0", net))


def test_other_strides_are_another_network(load, originals):
    net = network(originals, randomized())
    net.stride = torch.tensor([4.0, 8.0, 16.0])
    with pytest.raises(LineageError, match=r"expected the strides .* \(4\.0, 8\.0, 16\.0\)"):
        load(checkpoint("v7.0", net))


def test_a_yolov5_of_no_published_size_is_described(load):
    state = original_state(randomized())
    state["model.2.m.1.cv1.conv.weight"] = torch.zeros(1)
    with pytest.raises(LineageError, match="got 6x6 stem of 8 channels, 2 bottlenecks in c2, head at 24"):
        load(state)


def test_an_unknown_network_is_refused(load):
    with pytest.raises(LineageError, match=r"expected weights of a known network; got keys like layer1\.weight"):
        load({"layer1.weight": torch.zeros(1)})


@pytest.mark.parametrize("key", ["model.0.conv.weight", "model.24.anchors", "model.24.m.0.bias"])
def test_a_tensor_without_axes_where_one_needs_them_is_refused(load, key):
    state = original_state(randomized())
    state[key] = torch.tensor(1.0)
    with pytest.raises(LineageError, match="expected"):
        load(state)


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], None, {"model": {"a": 1}}])
def test_a_file_without_network_is_refused(load, content):
    with pytest.raises(LineageError, match=r"weights\.pt: expected a checkpoint with a network"):
        load(content)


def test_modules_that_repeat_themselves_are_refused(load):
    """Thirty levels that each hold the one below twice: small to write, a billion modules to walk."""
    module = nn.Sequential(nn.Identity())
    for _ in range(25):
        module = nn.Sequential(module, module)
    with pytest.raises(LineageError, match="at most 10000 modules"):
        load({"model": module})


def test_modules_nested_too_deep_are_refused(load):
    module = nn.Identity()
    for _ in range(40):
        module = nn.Sequential(module)
    with pytest.raises(LineageError, match="nested at most"):
        load({"model": module})


@pytest.mark.parametrize("name", ["x" * 300, "bell\x07"])
def test_names_unfit_for_messages_are_refused(load, name):
    with pytest.raises(LineageError, match="expected names of printable text"):
        load({"model": nn.ModuleDict({name: nn.Conv2d(1, 1, 1)})})
    with pytest.raises(LineageError, match="expected names of printable text"):
        load({f"{name}.weight": torch.zeros(1)})


def test_a_module_of_countless_members_is_refused(load):
    module = nn.Module()
    module._buffers = {f"b{i}": None for i in range(3000)}
    with pytest.raises(LineageError, match="at most 1000 _buffers"):
        load({"model": module})


def test_numbers_that_are_repeated_many_times_are_refused(load):
    base = torch.zeros(1000)
    with pytest.raises(LineageError, match="reuses its storages"):
        load({f"weight{i}": base[:] for i in range(3)})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LineageError, match=r"none\.pt does not exist"):
        load_checkpoint(tmp_path / "none.pt")


def test_missing_and_unknown_keys_are_listed():
    state = {key: value.numpy() for key, value in original_state(randomized()).items()}
    del state["model.1.bn.bias"]
    state["model.99.weight"] = np.zeros(1)
    with pytest.raises(LineageError, match=r"1 missing: backbone\.down2\.bn\.bias; 1 unknown: model\.99\.weight"):
        from_state_dict("yolov5-test", state)


@pytest.mark.parametrize("key", ["model.24.m.0.bias", "model.24.anchors"])
def test_a_state_without_head_is_refused(key):
    state = {k: v.numpy() for k, v in original_state(randomized()).items() if k != key}
    with pytest.raises(LineageError, match=f"1 missing: {key}"):
        from_state_dict("yolov5-test", state)


def test_counters_of_batches_may_be_absent():
    detector = randomized()
    state = {k: v.numpy() for k, v in original_state(detector).items() if "num_batches" not in k}
    assert from_state_dict("yolov5-test", state).variant == "yolov5-test"


# --- the official file ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def official(shared) -> ImportedModel:
    return load_checkpoint(shared / "weights" / "yolov5n.pt")


def test_the_official_file_is_recognized(official):
    assert official.variant == "yolov5n"
    assert (len(official.class_names), official.class_names[0], official.class_names[79]) == (
        80,
        "person",
        "toothbrush",
    )
    assert official.sha256 == "4f180cf23ba0717ada0badd6c685026d73d48f184d00fc159c2641284b2ac0a3"


@pytest.mark.parametrize("form", ["training", "deployed"])
@torch.inference_mode()
def test_the_official_weights_give_the_reference_numbers(official, shared, form):
    detector = official.detector.deploy() if form == "deployed" else official.detector
    for photo, index in (("000000303818_320", None), ("000000303818_640", 1), ("000000456496_640", 1)):
        with np.load(shared / "weights" / f"yolov5n_{photo}.npz") as data:
            pixels = torch.from_numpy(data["input_u8"][None].astype(np.float32) / 255)
            rows = data["decoded"][0] if index is None else data["decoded_rows"]
            picked = slice(None) if index is None else torch.from_numpy(data["decoded_rows_index"])
        boxes, scores = (values[0, picked].numpy() for values in detector.forward_decoded(pixels))
        centers, sizes = rows[:, :2], rows[:, 2:4]
        expected = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
        np.testing.assert_allclose(boxes, expected, rtol=0, atol=0.01)
        np.testing.assert_allclose(scores, rows[:, 4:5] * rows[:, 5:], rtol=0, atol=1e-5)


def test_reading_needs_no_torch(shared):
    """The reader of the file format is NumPy alone; torch comes in with the detector."""
    path: Path = shared / "weights" / "yolov5n.pt"
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; from model_zoo.weights.torch_file import open_torch_file\n"
        f"with open_torch_file(Path({str(path)!r})) as file: print(file.tree['model'].kind)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "models.yolo.Model\n"
