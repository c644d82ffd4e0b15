"""YOLOv1's assigner: Darknet's choices, and who learns what in scenes made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.losses.darknet_cases import targets_of
from training.assign.base import CellAssignment
from training.assign.responsible_cell import ResponsiblePredictor
from training.batch import Targets
from training.boxes import cxcywh_to_xyxy


def assign(predicted: list[list[list[float]]], objects: list[list[float]], cells: int = 2) -> CellAssignment:
    """Assign objects cx, cy, w, h of one image to the same predictors, cx, cy, w, h, in every cell."""
    boxes = cxcywh_to_xyxy(torch.tensor(predicted)).expand(1, cells**2, -1, 4)
    count = len(objects)
    truth = cxcywh_to_xyxy(torch.tensor(objects).reshape(-1, 4))
    return ResponsiblePredictor()(boxes, cells, Targets(torch.zeros(count).long(), torch.zeros(count).long(), truth))


def test_cells_and_predictors_are_darknets(shared: Path) -> None:
    with np.load(shared / "parity/training/yolov1_loss/basic_b2.npz") as file:
        case = dict(file)
    raw = torch.from_numpy(case["pred"]).double()[:, 49 * 22 :].view(2, 49, 2, 4)
    number = torch.arange(49)
    corner = torch.stack([number % 7, number // 7], dim=1)[:, None]
    boxes = cxcywh_to_xyxy(torch.cat([(raw[..., :2] + corner) / 7, raw[..., 2:] ** 2], dim=-1))
    assigned = ResponsiblePredictor()(boxes, 7, targets_of(case["targets"], (1, 1)))
    tables: list[Tensor] = []
    for numbers in (assigned.target, assigned.predictor):
        tables.append(torch.full((2, 49), -1).index_put((assigned.image, assigned.cell), numbers))
    assert tables[0].tolist() == case["cell_target"].tolist()
    assert tables[1].tolist() == case["responsible"].tolist()


def test_the_first_listed_object_has_the_cell() -> None:
    assigned = assign([[[0.5, 0.5, 1, 1]]], [[0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.2, 0.2], [0.2, 0.2, 0.3, 0.3]])
    assert assigned.cell.tolist() == [3, 0]
    assert assigned.target.tolist() == [0, 1]


@pytest.mark.parametrize(("center", "cell"), [((0, 0), 0), ((1, 0), 1), ((0, 1), 2), ((1, 1), 3), ((0.5, 0.49), 1)])
def test_a_center_on_the_border_has_the_nearest_cell(center: tuple[float, float], cell: int) -> None:
    assert assign([[[0.5, 0.5, 1, 1]]], [[*center, 0.1, 0.1]]).cell.tolist() == [cell]


def test_the_predictor_that_overlaps_most_is_responsible() -> None:
    assert assign([[[0.25, 0.25, 0.9, 0.9], [0.25, 0.25, 0.2, 0.2]]], [[0.25, 0.25, 0.25, 0.25]]).predictor.item() == 1


def test_where_none_overlaps_the_nearest_is_responsible() -> None:
    """The second is nearer by center, the first by center and size together."""
    predictors = [[[0.9, 0.25, 0.2, 0.2], [0.8, 0.25, 0.2, 0.9]]]
    assert assign(predictors, [[0.25, 0.25, 0.2, 0.2]]).predictor.item() == 0
    assert assign(predictors, [[0.25, 0.25, 0.2, 0.7]]).predictor.item() == 1


def test_no_objects_are_no_entries() -> None:
    assert [len(part) for part in assign([[[0.5, 0.5, 1, 1]]], [])] == [0, 0, 0, 0]
