"""Synchronized batch norm of one rank equals batch norm (two ranks: test_distributed.py)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from training.loop.sync_batch_norm import convert_batch_norms


@pytest.fixture
def _one_rank(tmp_path: Path) -> Iterator[None]:
    """Process group of one rank."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("_one_rank")
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2**-7)], ids=str
)
def test_one_rank_equals_batch_norm(dtype: torch.dtype, tolerance: float) -> None:
    """Compare output, statistics and gradients. The mean is far from 0, where a variance could suffer cancellation."""
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(6, dtype=torch.promote_types(dtype, torch.float32))
    nn.init.uniform_(plain.weight, 0.5, 2)
    nn.init.normal_(plain.bias)
    synced = convert_batch_norms(nn.Sequential(copy.deepcopy(plain)))
    x = (torch.randn(4, 6, 9, 7) + 8).to(dtype).contiguous(memory_format=torch.channels_last)
    output_grad = torch.randn(4, 6, 9, 7).to(dtype)
    results = []
    for norm in (plain, synced):
        images = x.clone().requires_grad_()
        output = norm(images)
        output.backward(output_grad)
        results.append([output.detach(), images.grad, *(p.grad for p in norm.parameters()), *norm.buffers()])
    for expected, actual in zip(*results, strict=True):
        assert actual.dtype == expected.dtype
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))
