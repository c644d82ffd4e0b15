"""Stages of YOLOv6 and their deployed forms."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from model_zoo.blocks.cspsppf import SimCSPSPPF
from model_zoo.blocks.rep_block import BottleRep, CSPStackRep, RepBlock, RepVGGBlock
from model_zoo.detector import Detector
from tests.model_zoo.batch_norms import randomize

BLOCKS = {
    "RepVGGBlock": lambda: RepVGGBlock(6, 6),
    "RepVGGBlock, other channels": lambda: RepVGGBlock(6, 4),
    "RepVGGBlock, stride 2": lambda: RepVGGBlock(6, 6, 2),
    "RepBlock": lambda: RepBlock(6, 5, 3),
    "BottleRep": lambda: BottleRep(6, RepVGGBlock),
    "CSPStackRep": lambda: CSPStackRep(6, 9, 4, share=2 / 3),
    "SimCSPSPPF": lambda: SimCSPSPPF(6, 8),
}


@settings(max_examples=25)
@given(st.sampled_from(sorted(BLOCKS)), st.integers(0, 2**31))
def test_deployed_blocks_are_equivalent_plain_convolutions(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    block = nn.Sequential(randomize(BLOCKS[name]()))
    x = torch.rand(2, 6, 9, 11)
    before = block(x)
    deployed = Detector("toy", "toy", block, nn.Identity(), nn.Identity(), None, ()).deploy().backbone
    assert {type(m) for m in deployed.modules()}.isdisjoint({nn.BatchNorm2d, RepVGGBlock})
    torch.testing.assert_close(deployed(x), before, rtol=1e-5, atol=1e-5 * float(before.abs().max()))


def test_bottle_rep_scales_its_shortcut() -> None:
    block = randomize(BottleRep(4, RepVGGBlock))
    x = torch.rand(1, 4, 5, 5)
    block.alpha.fill_(-0.5)
    torch.testing.assert_close(block(x), block.conv2(block.conv1(x)) - 0.5 * x)
