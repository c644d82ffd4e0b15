"""Checkpoints of every version are read, and malicious ones rejected."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from model_zoo.contract.errors import LineageError
from tests.model_zoo.weights.importers.originals import (
    assert_equal_weights,
    checkpoint,
    network,
    original_state,
    randomized,
)


@pytest.mark.parametrize("version", ["v6.0", "v6.2", "v7.0"])
def test_pickled_modules_of_every_version(version, load, originals):
    detector = randomized()
    names: object = {0: "ant", 1: "bee"} if version == "v7.0" else ["ant", "bee"]
    imported = load(checkpoint(version, network(originals, detector, version, names)))
    assert (imported.variant, imported.class_names) == ("yolov5-test", ("ant", "bee"))
    assert not imported.detector.training
    assert_equal_weights(imported.detector, detector, 0.1)


def test_averaged_weights_are_preferred(load, originals):
    model, average = randomized(seed=1), randomized(seed=2)
    imported = load(checkpoint("v7.0", network(originals, model), network(originals, average)))
    assert_equal_weights(imported.detector, average, 0.1)
    assert "weights loaded from 'ema'" in imported.notes


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code:UserWarning")  # the fake classes have none
def test_stream_format_of_old_torch(load, originals):
    detector = randomized()
    content = checkpoint("v6.0", network(originals, detector, "v6.0"))
    assert_equal_weights(load(content, _use_new_zipfile_serialization=False).detector, detector, 0.1)


def test_plain_state_dict_and_data_parallel_state_dict(load):
    detector = randomized()
    state = original_state(detector)
    assert_equal_weights(load(state).detector, detector, 0.1)
    assert_equal_weights(
        load({"state_dict": {f"module.{key}": value for key, value in state.items()}}).detector, detector, 0.1
    )


def test_data_parallel_module(load, originals):
    detector = randomized()
    assert_equal_weights(load({"model": nn.DataParallel(network(originals, detector))}).detector, detector, 0.1)


def test_bfloat16_and_shared_storage(load):
    detector = randomized()
    state = {k: v.bfloat16() if v.is_floating_point() else v for k, v in original_state(detector).items()}
    weight = state["model.0.conv.weight"]
    state["model.0.conv.weight"] = torch.cat([weight, weight])[: len(weight)]
    loaded = load(state).detector.state_dict()["backbone.stem.conv.weight"]
    torch.testing.assert_close(loaded, weight.float(), rtol=0, atol=0)


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], None, {"model": {"a": 1}}])
def test_file_without_network_is_refused(load, content):
    with pytest.raises(LineageError, match=r"weights\.pt: expected a checkpoint with a network"):
        load(content)


def test_shared_modules_are_limited(load):
    """25 levels that each contain the next one twice: a small file with millions of modules."""
    module = nn.Sequential(nn.Identity())
    for _ in range(25):
        module = nn.Sequential(module, module)
    with pytest.raises(LineageError, match="at most 10000 modules"):
        load({"model": module})


def test_deeply_nested_modules_are_refused(load):
    module = nn.Identity()
    for _ in range(40):
        module = nn.Sequential(module)
    with pytest.raises(LineageError, match="nested at most"):
        load({"model": module})


@pytest.mark.parametrize("name", ["x" * 300, "bell\x07"])
def test_unprintable_and_long_names_are_refused(load, name):
    with pytest.raises(LineageError, match="expected names of printable text"):
        load({"model": nn.ModuleDict({name: nn.Conv2d(1, 1, 1)})})
    with pytest.raises(LineageError, match="expected names of printable text"):
        load({f"{name}.weight": torch.zeros(1)})


def test_module_with_too_many_members_is_refused(load):
    module = nn.Module()
    module._buffers = {f"b{i}": None for i in range(3000)}
    with pytest.raises(LineageError, match="at most 1000 _buffers"):
        load({"model": module})


def test_reused_storages_are_limited(load):
    base = torch.zeros(1000)
    with pytest.raises(LineageError, match="reuses its storages"):
        load({f"weight{i}": base[:] for i in range(3)})


def test_reading_requires_no_torch(shared):
    """The file reader requires only NumPy."""
    path: Path = shared / "weights" / "yolov5n.pt"
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; from model_zoo.weights.torch_file import open_torch_file\n"
        f"with open_torch_file(Path({str(path)!r})) as file: print(file.tree['model'].kind)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "models.yolo.Model\n"
