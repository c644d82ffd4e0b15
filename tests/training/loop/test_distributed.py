"""Two processes learn what one would from batches twice as large."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.conftest import ROOT
from tests.training.two_processes import KINDS, VARIANTS, learn, loss_of_all
from training.loop.distributed import ProcessGroup, convert_batch_norms

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """The only process of a group."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("dtype", "off"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2**-7)], ids=str
)
def test_shared_batch_norm_of_one_process_is_batch_norm(dtype: torch.dtype, off: float) -> None:
    """Output, statistics and gradients; the mean is far from 0, where variances could cancel."""
    torch.manual_seed(0)
    kept = torch.promote_types(dtype, torch.float32)
    plain = nn.BatchNorm2d(6, dtype=kept)
    nn.init.uniform_(plain.weight, 0.5, 2)
    nn.init.normal_(plain.bias)
    shared = convert_batch_norms(nn.Sequential(copy.deepcopy(plain)))
    x = (torch.randn(4, 6, 9, 7) + 8).to(dtype).contiguous(memory_format=torch.channels_last)
    of_output = torch.randn(4, 6, 9, 7).to(dtype)
    results = []
    for norm in (plain, shared):
        given = x.clone().requires_grad_()
        out = norm(given)
        out.backward(of_output)
        results.append([out.detach(), given.grad, *(p.grad for p in norm.parameters()), *norm.buffers()])
    for expected, found in zip(*results, strict=True):
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=off, atol=off * float(expected.abs().max()))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """What each of two processes came to; and that nothing was warned about."""
    folder = tmp_path_factory.mktemp("two")
    command = [*TORCHRUN, "-m", "tests.training.two_processes", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::FutureWarning"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [load_file(folder / f"{rank}.safetensors") for rank in (0, 1)]


@pytest.mark.slow
def test_both_hold_the_same_in_the_end(both: list[dict[str, Tensor]]) -> None:
    assert [key for key, value in both[0].items() if not torch.equal(value, both[1][key])] == []


@pytest.mark.slow
def test_a_map_without_a_loss_in_one_process_holds_nobody_up(both: list[dict[str, Tensor]]) -> None:
    assert bool((both[0]["lazy/losses"] > 0).all())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_they_learn_what_one_process_does(kind: str, both: list[dict[str, Tensor]], tmp_path: Path) -> None:
    """Weights, averages, statistics, momentum, losses: for all three ways in which losses are summed."""
    for key, value in learn(tmp_path / kind, kind, ProcessGroup()).items():
        scale = float(value.double().abs().max())
        torch.testing.assert_close(both[0][f"{kind}/{key}"], value, rtol=0, atol=1e-4 * scale, msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_losses_of_their_shares_are_the_loss_of_all(variant: str, both: list[dict[str, Tensor]]) -> None:
    torch.testing.assert_close(both[0][f"losses/{variant}"], loss_of_all(variant, ProcessGroup()), rtol=1e-3, atol=0)
