"""YOLOv1's assigner: Darknet's assignments, and hand-made scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.losses.darknet_cases import scaled_targets
from training.assign.base import CellAssignment
from training.assign.responsible_cell import ResponsiblePredictor
from training.batch import Targets
from training.boxes import cxcywh_to_xyxy


def assign(predicted: list[list[list[float]]], objects: list[list[float]], cells: int = 2) -> CellAssignment:
    """Assign objects (cx, cy, w, h) of one image to predictors (cx, cy, w, h) that are the same in every cell."""
    boxes = cxcywh_to_xyxy(torch.tensor(predicted)).expand(1, cells**2, -1, 4)
    count = len(objects)
    truth = cxcywh_to_xyxy(torch.tensor(objects).reshape(-1, 4))
    return ResponsiblePredictor()(boxes, cells, Targets(torch.zeros(count).long(), torch.zeros(count).long(), truth))


def test_cells_and_predictors_match_darknet(shared: Path) -> None:
    with np.load(shared / "parity/training/yolov1_loss/basic_b2.npz") as file:
        case = dict(file)
    raw = torch.from_numpy(case["pred"]).double()[:, 49 * 22 :].view(2, 49, 2, 4)
    number = torch.arange(49)
    corner = torch.stack([number % 7, number // 7], dim=1)[:, None]
    boxes = cxcywh_to_xyxy(torch.cat([(raw[..., :2] + corner) / 7, raw[..., 2:] ** 2], dim=-1))
    assigned = ResponsiblePredictor()(boxes, 7, scaled_targets(case["targets"], (1, 1)))
    tables: list[Tensor] = []
    for numbers in (assigned.target, assigned.predictor):
        tables.append(torch.full((2, 49), -1).index_put((assigned.image, assigned.cell), numbers))
    assert tables[0].tolist() == case["cell_target"].tolist()
    assert tables[1].tolist() == case["responsible"].tolist()


def test_first_listed_object_gets_the_cell() -> None:
    assigned = assign([[[0.5, 0.5, 1, 1]]], [[0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.2, 0.2], [0.2, 0.2, 0.3, 0.3]])
    assert assigned.cell.tolist() == [3, 0]
    assert assigned.target.tolist() == [0, 1]


@pytest.mark.parametrize(("center", "cell"), [((0, 0), 0), ((1, 0), 1), ((0, 1), 2), ((1, 1), 3), ((0.5, 0.49), 1)])
def test_center_on_the_border_counts_for_the_nearest_cell(center: tuple[float, float], cell: int) -> None:
    assert assign([[[0.5, 0.5, 1, 1]]], [[*center, 0.1, 0.1]]).cell.tolist() == [cell]


def test_predictor_of_highest_iou_is_responsible() -> None:
    assert assign([[[0.25, 0.25, 0.9, 0.9], [0.25, 0.25, 0.2, 0.2]]], [[0.25, 0.25, 0.25, 0.25]]).predictor.item() == 1


def test_nearest_predictor_is_responsible_without_overlap() -> None:
    """The second is nearer by center, the first by center and size together."""
    predictors = [[[0.9, 0.25, 0.2, 0.2], [0.8, 0.25, 0.2, 0.9]]]
    assert assign(predictors, [[0.25, 0.25, 0.2, 0.2]]).predictor.item() == 0
    assert assign(predictors, [[0.25, 0.25, 0.2, 0.7]]).predictor.item() == 1


def test_no_objects() -> None:
    assert [len(part) for part in assign([[[0.5, 0.5, 1, 1]]], [])] == [0, 0, 0, 0]
