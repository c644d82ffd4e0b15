"""Assignments, and resolution of conflicting claims."""

from __future__ import annotations

import torch

from training.assign.base import RowAssignment


def test_merge_keeps_the_last_entry_of_a_prediction() -> None:
    image, row = torch.tensor([0, 0, 1, 0, 0]), torch.tensor([5, 6, 5, 5, 2])
    pairs = RowAssignment(image, row, torch.arange(5), torch.zeros(2, 10, dtype=torch.bool))
    kept, entry = pairs.merge()
    assert kept.target.tolist() == [1, 2, 3, 4]
    assert [kept.target[i].item() for i in entry] == [3, 1, 2, 3, 4]
