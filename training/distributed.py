"""Several processes that train one model, each on its share of every batch: `torchrun ... lineage train ...`.

They hold the same weights, average their gradients (DistributedDataParallel) and share the statistics of batch norms.
Process 0 alone evaluates and writes; what it decides, it tells the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
PATIENCE = timedelta(hours=6)  # the others wait this long while process 0 evaluates


def average_over_processes(value: Tensor) -> Tensor:
    """Return the mean of `value` over the processes; without gradient, and as it is where there is one process.

    Gradients of processes are averaged. A loss that divides by the average count of all is then, over all, divided by
    the count of all images.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return value
    mean = value.detach().clone()
    dist.all_reduce(mean)
    return mean / dist.get_world_size()


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them: its number `rank` of `world`, and its number on this machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def main(self) -> bool:
        """Whether this is the process that evaluates and writes."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return a network whose gradients are averaged and whose batch norms are synchronised; it shares weights."""
        if self.world == 1:
            return network
        return DistributedDataParallel(synchronise(network), forward_sync_buffers=False)

    def hold(self, network: nn.Module) -> AbstractContextManager[Any]:
        """Leave gradients unaveraged for now: more will be added to them."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def any(self, flag: bool) -> bool:
        """Tell whether it is so in any process."""
        if self.world == 1:
            return flag
        count = torch.tensor(int(flag))
        dist.all_reduce(count)
        return bool(count)

    def tell(self, value: T) -> T:
        """Return what process 0 has."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, device=torch.device("cpu"))
        return box[0]


@contextmanager
def joined(cuda: bool) -> Iterator[Processes]:
    """Join the other processes that torchrun started, if it did; `cuda` tells whether they train on GPUs."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes()
        return
    local_rank, local_world = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if cuda:
        torch.cuda.set_device(local_rank)
    else:
        torch.set_num_threads(max(len(os.sched_getaffinity(0)) // local_world, 1))
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield Processes(dist.get_rank(), world, local_rank)
    finally:
        dist.destroy_process_group()


class _Sum(torch.autograd.Function):
    """Sum over the processes; the gradient is summed over them too."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return sum_over_processes(gradients[0])


sum_over_processes: Callable[[Tensor], Tensor] = _Sum.apply


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the images of all processes, on any device; parameters and statistics are those of `norm`.

    Means and variances are combined without cancellation: the variance of all is the mean of the processes' variances
    and squared distances from the mean of all.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W) by the statistics of all processes; in evaluation mode by the running ones."""
        if not self.training:
            return super().forward(x)
        variance, mean = torch.var_mean(x.to(torch.promote_types(x.dtype, torch.float32)), (0, 2, 3), correction=0)
        count = mean.new_tensor([x.numel() // x.shape[1]])
        centre, total = sum_over_processes(torch.cat([mean * count, count])).split([len(mean), 1])
        centre = centre / total.detach()
        spread = sum_over_processes((variance + (mean - centre) ** 2) * count) / total.detach()
        self._track(centre.detach(), (spread * total / (total - 1)).detach())
        gain = self.weight * torch.rsqrt(spread + self.eps)
        normalised: Tensor = x * gain[:, None, None] + (self.bias - centre * gain)[:, None, None]
        return normalised.to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def synchronise(module: nn.Module) -> nn.Module:
    """Synchronise all batch norms below a module, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, SyncedBatchNorm2d(child))
        else:
            synchronise(child)
    return module
