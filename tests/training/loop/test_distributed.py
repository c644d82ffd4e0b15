"""Two ranks train as one rank does on the whole batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.conftest import ROOT
from tests.training.two_processes import KINDS, VARIANTS, total_loss, train
from training.loop.distributed import ProcessGroup

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """Tensors saved by each of two ranks, which ran without a FutureWarning."""
    folder = tmp_path_factory.mktemp("two")
    command = [*TORCHRUN, "-m", "tests.training.two_processes", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::FutureWarning"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [load_file(folder / f"{rank}.safetensors") for rank in (0, 1)]


@pytest.mark.slow
def test_both_ranks_end_with_equal_tensors(ranks: list[dict[str, Tensor]]) -> None:
    assert [key for key, value in ranks[0].items() if not torch.equal(value, ranks[1][key])] == []


@pytest.mark.slow
def test_map_without_gradient_on_one_rank_does_not_block_the_other(ranks: list[dict[str, Tensor]]) -> None:
    assert bool((ranks[0]["detached/losses"] > 0).all())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_ranks_train_as_one(kind: str, ranks: list[dict[str, Tensor]], tmp_path: Path) -> None:
    """Weights, averages, statistics, momentum and losses agree, for every reduction of the loss."""
    for key, value in train(tmp_path / kind, kind, ProcessGroup()).items():
        scale = float(value.double().abs().max())
        torch.testing.assert_close(ranks[0][f"{kind}/{key}"], value, rtol=0, atol=1e-4 * scale, msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_of_two_ranks_equal_the_loss_of_one(variant: str, ranks: list[dict[str, Tensor]]) -> None:
    torch.testing.assert_close(ranks[0][f"losses/{variant}"], total_loss(variant, ProcessGroup()), rtol=1e-3, atol=0)
