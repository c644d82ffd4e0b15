"""Single layers of Darknet: reorganization, pooling, resizing."""

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


def test_reorg_matches_darknet(shared: Path) -> None:
    with np.load(shared / "parity" / "training" / "darknet_reorg" / "reorg_2x.npz") as arrays:
        actual = Reorg()(torch.from_numpy(arrays["x"]))
        np.testing.assert_array_equal(actual.numpy(), arrays["darknet"])


def test_same_size_max_pool_pads_right_and_bottom() -> None:
    x = torch.randn(2, 3, 5, 7)
    padded = F.pad(x, (0, 1, 0, 1), value=-torch.inf)
    torch.testing.assert_close(SameSizeMaxPool()(x), F.max_pool2d(padded, 2, 1), rtol=0, atol=0)


def test_pyramid_pool_has_the_largest_window_first() -> None:
    x = torch.zeros(1, 1, 20, 20)
    x[0, 0, 10, 10] = 1
    assert PyramidPool()(x).sum((0, 2, 3)).tolist() == [13 * 13, 9 * 9, 5 * 5, 1]


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (333, 500)])
def test_letterbox_undo_matches_darknet(shared: Path, size: tuple[int, int]) -> None:
    with np.load(shared / "parity" / "boxes" / "resize.npz") as arrays:
        canvas = tuple(int(side) for side in arrays["correct.net_hw"])
        on_canvas = arrays["correct.pj.identity"] * np.float32([*canvas[::-1], *canvas[::-1]])
        expected = arrays[f"correct.pj.{size[0]}x{size[1]}.letterbox"] * np.float32([*size[::-1], *size[::-1]])
    geometry = letterbox.plan(DARKNET_LETTERBOX, size, canvas)
    actual = letterbox.undo(cxcywh_to_xyxy(on_canvas), geometry)
    np.testing.assert_allclose(actual, letterbox.clip(cxcywh_to_xyxy(expected), size), rtol=0, atol=0.01)
