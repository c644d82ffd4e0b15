"""MMDetection's YOLOv3: its state dict, filled by the fixture's rule, gives its raw maps."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from model_zoo.contract.errors import LineageError
from model_zoo.weights.importers import from_state_dict
from model_zoo.weights.importers.yolov3 import identify

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def case(shared: Path) -> tuple[dict, Arrays]:
    folder = shared / "parity" / "training" / "mmdet_darknet53_forward"
    with np.load(folder / "seed0_64x64_nc80.npz") as arrays:
        return json.loads((folder / "seed0_64x64_nc80.json").read_text()), dict(arrays)


@pytest.fixture(scope="module")
def state(case: tuple[dict, Arrays]) -> Arrays:
    meta, arrays = case
    names = {name: shape for name, shape in meta["state_dict_names"] if not name.endswith("num_batches_tracked")}
    return {name: arrays.get(f"w:{name}", filled(name, shape, meta["seed"])) for name, shape in names.items()}


def filled(name: str, shape: list[int], seed: int) -> np.ndarray:
    z = np.random.default_rng([zlib.crc32(name.encode()), seed]).standard_normal(shape)
    return (z * np.sqrt(1 / np.prod(shape[1:]))).astype(np.float32)


def test_the_fixtures_weights_are_rebuilt(case, state) -> None:
    for name, sums in case[0]["weight_checksums"].items():
        weight = state[name].astype(np.float64)
        np.testing.assert_allclose([weight.sum(), np.abs(weight).sum()], sums, rtol=1e-6, atol=1e-4)


@torch.inference_mode()
def test_backbone_and_raw_maps(case, state) -> None:
    _, arrays = case
    detector = from_state_dict("yolov3-mmdet", state)
    images = torch.from_numpy(arrays["image"].astype(np.float32))
    features, maps = detector.backbone(images), detector(images)
    for level in range(3):
        np.testing.assert_allclose(features[level].numpy(), arrays[f"backbone{level}"], rtol=1e-5, atol=1e-4)
        raw = maps[2 - level].permute(0, 1, 4, 2, 3).flatten(1, 2)  # the original's levels begin at the coarsest
        np.testing.assert_allclose(raw.numpy(), arrays[f"head{level}"], rtol=1e-5, atol=1e-4)


def test_the_network_is_recognized(state) -> None:
    assert identify(state).variant == "yolov3-mmdet"
    assert identify({"model.0.conv.weight": np.zeros(1)}) is None


def test_another_variant_is_refused(state) -> None:
    with pytest.raises(LineageError, match="expected yolov3-mmdet"):
        from_state_dict("yolov3-spp", state)
