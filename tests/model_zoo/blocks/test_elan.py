"""Layer aggregation of YOLOv7."""

from __future__ import annotations

import torch
from torch import nn

from model_zoo.blocks.elan import EELAN, ELAN
from tests.model_zoo.batch_norms import randomize


def test_elan_joins_the_last_output_first() -> None:
    elan = randomize(ELAN(3, 4, 5, blocks=3, depth=2, narrowing=2))
    elan.join = nn.Identity()
    x = torch.randn(1, 3, 6, 6)
    last, middle, first, right, left = elan(x).split([2, 2, 2, 4, 4], dim=1)
    torch.testing.assert_close((left, right), (elan.left(x), elan.right(x)))
    torch.testing.assert_close(first, elan.blocks[0](right))
    torch.testing.assert_close((middle, last), (elan.blocks[1](first), elan.blocks[2](middle)))
    assert [len(block) for block in elan.blocks] == [2, 2, 2]


def test_extended_elan_is_the_sum_of_two() -> None:
    torch.manual_seed(0)
    elan = randomize(EELAN(4, 2, 6, blocks=2, depth=2))
    x = torch.randn(1, 4, 5, 5)
    torch.testing.assert_close(elan(x), elan.first(x) + elan.second(x))
    assert not torch.equal(elan.first(x), elan.second(x))
