"""Darknet's own layers, one by one: reorganization, pooling, resizing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model_zoo.blocks.darknet import PyramidPool, Reorg, SameSizeMaxPool
from model_zoo.contract import letterbox
from model_zoo.contract.boxes import cxcywh_to_xyxy
from model_zoo.families.yolov3 import DARKNET_LETTERBOX


def test_reorg_has_darknets_order(shared: Path) -> None:
    with np.load(shared / "parity" / "training" / "darknet_reorg" / "reorg_2x.npz") as arrays:
        found = Reorg()(torch.from_numpy(arrays["x"]))
        np.testing.assert_array_equal(found.numpy(), arrays["darknet"])


def test_the_steady_pool_has_its_border_right_and_below() -> None:
    x = torch.randn(2, 3, 5, 7)
    bordered = F.pad(x, (0, 1, 0, 1), value=-torch.inf)
    torch.testing.assert_close(SameSizeMaxPool()(x), F.max_pool2d(bordered, 2, 1), rtol=0, atol=0)


def test_the_pyramid_begins_with_the_largest_window() -> None:
    x = torch.zeros(1, 1, 20, 20)
    x[0, 0, 10, 10] = 1
    assert PyramidPool()(x).sum((0, 2, 3)).tolist() == [13 * 13, 9 * 9, 5 * 5, 1]


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (333, 500)])
def test_boxes_return_to_the_image_as_darknet_returns_them(shared: Path, size: tuple[int, int]) -> None:
    with np.load(shared / "parity" / "boxes" / "resize.npz") as arrays:
        canvas = tuple(int(side) for side in arrays["correct.net_hw"])
        sent = arrays["correct.pj.identity"] * np.float32([*canvas[::-1], *canvas[::-1]])
        expected = arrays[f"correct.pj.{size[0]}x{size[1]}.letterbox"] * np.float32([*size[::-1], *size[::-1]])
    geometry = letterbox.plan(DARKNET_LETTERBOX, size, canvas)
    found = letterbox.undo(cxcywh_to_xyxy(sent), geometry)
    np.testing.assert_allclose(found, letterbox.clip(cxcywh_to_xyxy(expected), size), rtol=0, atol=0.01)
