"""Spatial pyramid pooling."""

from __future__ import annotations

import torch

from model_zoo.blocks.spp import SPP, SPPF
from tests.model_zoo.batch_norms import randomize


def test_sppf_equals_spp():
    torch.manual_seed(0)
    fast, plain = randomize(SPPF(8, 8)), SPP(8, 8).eval()
    plain.load_state_dict(fast.state_dict())
    x = torch.randn(1, 8, 20, 20)
    torch.testing.assert_close(fast(x), plain(x), rtol=0, atol=0)
