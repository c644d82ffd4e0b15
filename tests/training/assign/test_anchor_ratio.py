"""YOLOv5's assigner: the original's entries, and cells of single objects."""

from __future__ import annotations

import pytest
import torch

from model_zoo.families.yolov5 import P5_ANCHORS
from tests.training.losses.anchor_cases import Case, scene
from training.assign.anchor_ratio import assign_by_ratio
from training.assign.base import AnchorLevels


def assign(boxes: list[list[float]], size: tuple[int, int] = (160, 160), offset: float = 0.5) -> list[tuple[int, ...]]:
    """Return the entries (level, anchor, y, x, target) of boxes (cx, cy, w, h) of one image."""
    maps = [torch.zeros(1, 3, size[0] // s, size[1] // s, 8) for s in (8, 16, 32)]
    b = torch.tensor(boxes).reshape(-1, 4)
    xyxy = torch.cat([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2], dim=1)
    levels = AnchorLevels.of(maps, torch.tensor(P5_ANCHORS), (8, 16, 32))
    m = assign_by_ratio(xyxy, torch.zeros(len(b), dtype=torch.int64), levels, offset=offset)
    return list(zip(*(column.tolist() for column in (m.level, m.anchor, m.y, m.x, m.target)), strict=True))


def cells_of_first_anchor(rows: list[tuple[int, ...]]) -> list[tuple[int, int]]:
    """Return (x, y) of the entries of the first anchor of the first level."""
    return [(x, y) for level, anchor, y, x, _ in rows if (level, anchor) == (0, 0)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["basic_nc3", "basic_nc80"])
def test_entries_and_their_order_match_the_original(shared, name, dtype):
    case = Case(shared, "yolov5", name)
    targets = case.targets(dtype)
    levels = AnchorLevels.of(case.maps(dtype), case.detector.head.anchors, (8, 16, 32))
    assigned = assign_by_ratio(targets.boxes, targets.image_index, levels)
    for i in range(3):
        rows = torch.stack(assigned.select(assigned.level == i)[1:], dim=1)
        assert rows.tolist() == case.arrays[f"match{i}"].tolist()


def test_max_ratio_is_exclusive():
    assert (0, 0) not in {(level, a) for level, a, *_ in assign([[20, 20, 39.9, 52]])}  # 52 = 4 * 13
    assert (0, 0) in {(level, a) for level, a, *_ in assign([[20, 20, 39.9, 51.9]])}
    assert (0, 0) not in {(level, a) for level, a, *_ in assign([[20, 20, 2.5, 13]])}  # 2.5 = 10 / 4


@pytest.mark.parametrize(
    ("center", "expected"),
    [
        ((19, 19), [(2, 2), (1, 2), (2, 1)]),  # 0.375 of a cell past the corner: left and upper
        ((22, 22), [(2, 2), (3, 2), (2, 3)]),
        ((20, 20), [(2, 2)]),  # exactly in the center of the cell
        ((2, 2), [(0, 0)]),  # no cell beyond the image
        ((158, 158), [(19, 19)]),
        ((160, 160), [(19, 19), (19, 19), (19, 19)]),  # on the border: the nearest cell, several times
        ((0, 0), [(0, 0), (0, 0), (0, 0)]),
    ],
)
def test_nearest_neighbor_cells_are_assigned_too(center, expected):
    assert cells_of_first_anchor(assign([[*center, 10, 13]])) == expected


def test_offset_of_one_assigns_all_four_neighbors():
    assert cells_of_first_anchor(assign([[19, 19, 10, 13]], offset=1.0)) == [(2, 2), (1, 2), (2, 1), (3, 2), (2, 3)]


def test_x_and_y_of_an_oblong_image():
    rows = assign([[150, 30, 30, 61]], size=(64, 160))
    assert {(x, y) for level, _, y, x, _ in rows if level == 1} == {(9, 1), (8, 1), (9, 2)}


def test_batch_equals_single_images():
    maps, targets = scene([5, 0, 7])
    levels = AnchorLevels.of(maps, torch.tensor(P5_ANCHORS), (8, 16, 32))
    together = assign_by_ratio(targets.boxes, targets.image_index, levels)
    for image in range(3):
        in_image = targets.image_index == image
        alone = assign_by_ratio(targets.boxes[in_image], targets.image_index[in_image], levels)
        selected = together.select(together.image == image)
        offset = int((targets.image_index < image).sum())
        assert all(
            torch.equal(a, b) for a, b in zip(alone._replace(target=alone.target + offset), selected, strict=True)
        )
