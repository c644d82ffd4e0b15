"""Reference numbers of the PyTorch lineage.

A test with `reference` runs once for each registered variant that has data. FAMILY in its module restricts them to one
family. `imported` is the detector with the state dict of the reference.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.registry import variants
from model_zoo.weights.importers import from_state_dict


@dataclass(frozen=True, eq=False)
class Reference:
    """Data of one variant: keys.json, state dict with original keys, input (1, 3, H, W) and outputs by name."""

    meta: dict[str, Any]
    state: dict[str, NDArray[np.generic]]
    images: Tensor
    outputs: dict[str, NDArray[np.float32]]

    @property
    def name(self) -> str:
        return str(self.meta["model"])

    def tolerance(self, output: str) -> float:
        """Return ten times the difference between the reference and a float64 run."""
        return 10 * float(self.meta["float32_noise"][output])

    def maps(self) -> list[Tensor]:
        """Return the raw maps of the reference, by ascending stride."""
        keys = sorted(key for key in self.outputs if key.startswith("train_like/"))
        return [torch.from_numpy(self.outputs[key]) for key in keys]

    def boxes_and_scores(self, output: str = "decoded") -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return decoded rows as boxes xyxy (N, 4) and scores (N, C) = objectness x class."""
        rows = self.outputs[output][0]
        centers, sizes = rows[:, :2], rows[:, 2:4]
        return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1), rows[:, 4:5] * rows[:, 5:]

    def nms_thresholds(self) -> tuple[float, float]:
        """Return the score and IoU threshold of the reference's NMS."""
        call = str(self.meta["nms"]["function"])
        score, iou = re.search(r"conf_thre\w*=([\d.]+)", call), re.search(r"(?:iou|nms)_thre\w*=([\d.]+)", call)
        assert score
        assert iou
        return float(score[1]), float(iou[1])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "reference" in metafunc.fixturenames:
        folder = _folder(metafunc.config)
        family = getattr(metafunc.module, "FAMILY", "")
        names = sorted(
            path.parent.name for path in folder.glob(f"{family}*/keys.json") if path.parent.name in variants()
        )
        absent = pytest.param("absent", marks=pytest.mark.skip(f"no reference data at {folder}; set LINEAGE_SHARED"))
        metafunc.parametrize("reference", names or [absent], indirect=True, scope="module")


@pytest.fixture(scope="module")
def reference(request: pytest.FixtureRequest) -> Reference:
    return _load(_folder(request.config) / request.param)


@pytest.fixture(scope="module")
def imported(reference: Reference) -> Detector:
    return from_state_dict(reference.name, reference.state)


def _folder(config: pytest.Config) -> Path:
    return Path(os.environ.get("LINEAGE_SHARED", config.rootpath.parent / "shared")) / "parity"


@functools.cache
def _load(folder: Path) -> Reference:
    spec = importlib.util.spec_from_file_location("load_fixture", folder.parent / "load_fixture.py")
    assert spec
    assert spec.loader
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    meta, state, images, outputs = loader.load(folder)
    return Reference(meta, state, torch.from_numpy(images), outputs)
