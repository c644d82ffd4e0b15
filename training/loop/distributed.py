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
import torch.nn.functional as F
from loky import cpu_count
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
TIMEOUT = timedelta(hours=6)  # the others wait this long while process 0 evaluates


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
        """Return a network whose gradients are averaged and whose batch norms are synchronized; it shares weights."""
        if self.world == 1:
            return network
        return DistributedDataParallel(synchronize(network), forward_sync_buffers=False)

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
        torch.set_num_threads(max(cpu_count() // local_world, 1))
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=TIMEOUT)
    try:
        yield Processes(dist.get_rank(), world, local_rank)
    finally:
        dist.destroy_process_group()


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the images of all processes, on any device; parameters and statistics are those of `norm`."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (B, C, H, W) by the statistics of all processes; in evaluation mode by the running ones."""
        if not self.training:
            return super().forward(x)
        mean, variance, count = moments_over_processes(x)
        self._track(mean, variance * count / (count - 1))
        return normalize(x, self.weight, self.bias, mean, variance, count, self.eps)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


@torch.no_grad()
def moments_over_processes(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean (C,), variance (C,) and count (1,) of each channel of the (B, C, H, W) that the processes have.

    Without cancellation: the variance of all is the mean of the processes' variances and squared distances from the
    mean of all.
    """
    channels = x.shape[1]
    blank = x.new_zeros(channels, dtype=torch.promote_types(x.dtype, torch.float32))
    count = blank.new_tensor([x.numel() / channels])
    own = torch.cat([*torch.batch_norm_update_stats(x, blank, blank.clone(), 0.0), count])
    rows = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(rows, own)
    means, variances, counts = torch.stack(rows).split([channels, channels, 1], dim=1)
    count = counts.sum(0)
    mean = (means * counts).sum(0) / count
    return mean, ((variances + (means - mean) ** 2) * counts).sum(0) / count, count


class _Normalize(torch.autograd.Function):
    """Batch norm by moments over all processes, whose backward goes through these moments too.

    Made of the kernels that batch norm has for its running statistics, which take the moments as they are.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, count: Tensor, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.eps = eps
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        direct, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        shares = torch.cat([of_weight, of_bias])
        dist.all_reduce(shares)
        slope, shift = (shares / count).chunk(2)
        gain = weight * torch.rsqrt(variance + ctx.eps)
        through_moments = F.batch_norm(x, mean, variance, gain * slope, gain * shift, training=False, eps=ctx.eps)
        return direct - through_moments, of_weight, of_bias, None, None, None, None


normalize: Callable[..., Tensor] = _Normalize.apply


def synchronize(module: nn.Module) -> nn.Module:
    """Synchronize all batch norms below a module, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, SyncedBatchNorm2d(child))
        else:
            synchronize(child)
    return module
