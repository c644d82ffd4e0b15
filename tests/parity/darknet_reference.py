"""Reference numbers of the Darknet lineage, for each registered variant with data."""

from __future__ import annotations

import copy
import functools
import importlib.util
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_zoo.contract.boxes import cxcywh_to_xyxy
from model_zoo.detector import Detector, Head
from model_zoo.registry import variants
from model_zoo.weights.importers.darknet import from_darknet
from tests.conftest import SHARED

Array = NDArray[Any]
RAW, BOXES, SCORES = 1e-3, 2e-3, 2e-4  # absolute; boxes in pixels, up to some hundreds
THRESHOLD = 0.25  # of objectness and of class scores in the references
ABSENT = pytest.param(None, marks=pytest.mark.skip("no reference data; set LINEAGE_SHARED"), id="absent")


@dataclass(frozen=True)
class Reference:
    """Run of one program on one network. `pj` and `ab` differ in normalization and in the rows they report."""

    name: str
    program: str

    def __str__(self) -> str:
        return f"{self.name}-{self.program}"

    @property
    def programs(self) -> list[str]:
        """Return all programs with a run of this network."""
        return list(self.meta["references"])

    @property
    def meta(self) -> dict[str, Any]:
        return _load(self.name)[0]

    @property
    def floats(self) -> int:
        """Return the number of floats in the weight file."""
        return int(self.meta["weights_file_floats"])

    @property
    def images(self) -> Tensor:
        return torch.from_numpy(_load(self.name)[2])

    def __getitem__(self, key: str) -> Array:
        return _load(self.name)[3][f"{self.program}.{key}"]

    def __contains__(self, key: str) -> bool:
        return f"{self.program}.{key}" in _load(self.name)[3]

    @property
    def maps(self) -> dict[int, Array]:
        """Return the inputs (C, h, w) of the detection layers by layer index, in the order of the cfg, as logits.

        With `new_coords`, the program has probabilities.
        """
        ends = [layer["index"] for layer in self.meta["layers"] if f"out.{layer['index']}.pre" in self]
        inputs = {index: self[f"out.{index}.pre"] for index in ends}
        return {i: logit(p) for i, p in inputs.items()} if self.meta["detection"].get("new_coords") else inputs

    @property
    def boxes(self) -> Array:
        """Return the boxes (n, 4), xyxy in pixels of the input."""
        height, width = self.images.shape[2:]
        return cxcywh_to_xyxy(self["boxes"][:, :4] * np.float32([width, height, width, height]))

    def order_of_rows(self, maps: list[Tensor], rows: Array) -> Array:
        """Return the indices of our rows (N, R) that the program reports, in the order of `boxes`."""
        kind = self.meta["detection"]["kind"]
        if kind == "detection" or (kind == "region" and self.program == "pj"):
            return np.arange(len(rows))
        levels = _cell_major([m.shape[1:4] for m in maps])
        if kind == "region":
            return np.concatenate(levels)
        sizes = [m.shape[2:4] for m in maps]
        order = np.concatenate([levels[sizes.index(raw.shape[1:])] for raw in self.maps.values()])
        return order[1 / (1 + np.exp(-rows[order, 4])) > 0.25]

    @property
    def detector(self) -> Detector:
        """Return the network with the weights of the file and the normalization of this program."""
        detector = imported(self.name)
        return with_pj_normalization(detector) if self.program == "pj" else detector


def references() -> list[Reference]:
    folders = sorted((SHARED / "parity").glob("*/model.json")) if SHARED.is_dir() else []
    known = [folder.parent.name for folder in folders if folder.parent.name in variants()]
    return [Reference(name, program) for name in known for program in _load(name)[0]["references"]]


@functools.cache
def imported(name: str) -> Detector:
    """Write the `.weights` file of the reference and import it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.weights"
        loader().write_weights(SHARED / "parity" / name, path)
        return from_darknet(name, path)


def with_pj_normalization(detector: Detector) -> Detector:
    """Return a copy that divides by sqrt(var) + 1e-6, like `pj` on a CPU, through changed variances."""
    changed = copy.deepcopy(detector)
    for module in changed.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            module.running_var = ((module.running_var.double().sqrt() + 1e-6) ** 2 - module.eps).float()
    return changed


def logit(probabilities: Array) -> Array:
    """Return the logits of probabilities."""
    return (np.log(probabilities) - np.log1p(-probabilities)).astype(np.float32)


def darknet_layout(raw: Tensor) -> Array:
    """Convert a raw map (1, A, h, w, 5 + C) to Darknet's layout (A * (5 + C), h, w). Maps of other heads are flat."""
    if raw.ndim == 5:
        raw = raw.permute(0, 1, 4, 2, 3).flatten(1, 2)
    return raw[0].numpy()


def our_layout(raw: Array, like: Tensor) -> Tensor:
    """Convert a map in Darknet's layout to that of our map `like`."""
    raw_map = torch.from_numpy(raw)[None]
    if like.ndim == 5:
        _, anchors, height, width, numbers = like.shape
        return raw_map.view(1, anchors, numbers, height, width).permute(0, 1, 3, 4, 2)
    return raw_map.view(like.shape)


def _cell_major(shapes: list[Any]) -> list[Array]:
    """Return, for each level, the indices of our rows (level, anchor, cell) in the order cell, anchor."""
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    return [
        np.arange(start, end).reshape(shape).transpose(1, 2, 0).ravel()
        for start, end, shape in zip(ends, ends[1:], shapes, strict=False)
    ]


@functools.cache
def loader() -> ModuleType:
    spec = importlib.util.spec_from_file_location("darknet_fixture", SHARED / "parity" / "load_darknet_fixture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def _load(name: str) -> tuple[dict[str, Any], list[Any], Array, dict[str, Array]]:
    return loader().load(SHARED / "parity" / name)


def assert_same_boxes(run: Reference, head: Head, maps: list[Tensor], tolerance: float) -> None:
    with torch.inference_mode():
        rows = head.rows(maps)
        boxes, scores = (t[0].numpy() for t in head.decode(rows, head.priors(maps)))
    order = run.order_of_rows(maps, rows[0].numpy())
    expected = run["boxes"]
    sides = np.ptp(run.boxes.reshape(-1, 2, 2), axis=1).max(axis=1, keepdims=True)
    unit = np.maximum(1, sides / min(run.images.shape[2:]))  # boxes may be far larger than the image
    np.testing.assert_allclose(boxes[order] / unit, run.boxes / unit, rtol=0, atol=tolerance)
    np.testing.assert_allclose(np.where(scores > THRESHOLD, scores, 0)[order], expected[:, 5:], rtol=0, atol=SCORES)
