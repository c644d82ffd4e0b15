"""Two processes learn what one would from batches twice as large."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.training.two_processes import KINDS, VARIANTS, learn, loss_of_all
from training.distributed import Processes

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """What each of two processes came to; and that nothing was warned about."""
    folder = tmp_path_factory.mktemp("two")
    command = [*TORCHRUN, "-m", "tests.training.two_processes", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::FutureWarning"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [load_file(folder / f"{rank}.safetensors") for rank in (0, 1)]


def test_both_hold_the_same_in_the_end(both: list[dict[str, Tensor]]) -> None:
    assert [key for key, value in both[0].items() if not torch.equal(value, both[1][key])] == []


def test_a_map_without_a_loss_in_one_process_holds_nobody_up(both: list[dict[str, Tensor]]) -> None:
    assert bool((both[0]["lazy/losses"] > 0).all())


@pytest.mark.parametrize("kind", KINDS)
def test_they_learn_what_one_process_does(kind: str, both: list[dict[str, Tensor]], tmp_path: Path) -> None:
    """Weights, averages, statistics, momentum, losses: for all three ways in which losses are summed."""
    for key, value in learn(tmp_path / kind, kind, Processes()).items():
        scale = float(value.double().abs().max())
        torch.testing.assert_close(both[0][f"{kind}/{key}"], value, rtol=0, atol=1e-4 * scale, msg=key)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_losses_of_their_shares_are_the_loss_of_all(variant: str, both: list[dict[str, Tensor]]) -> None:
    torch.testing.assert_close(both[0][f"losses/{variant}"], loss_of_all(variant, Processes()), rtol=1e-3, atol=0)
