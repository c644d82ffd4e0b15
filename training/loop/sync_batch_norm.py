"""Batch norm over the images of all ranks, on CPUs too. `torch.nn.SyncBatchNorm` runs on GPUs only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


def convert_batch_norms(module: nn.Module) -> nn.Module:
    """Replace all batch norms inside a module by synchronized ones, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, SyncBatchNorm2d(child))
        else:
            convert_batch_norms(child)
    return module


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the images of all ranks. Parameters and statistics are shared with `norm`."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (B, C, H, W) by the statistics of all ranks, in evaluation mode by the running statistics."""
        if not self.training:
            return super().forward(x)
        mean, variance, count = moments_over_ranks(x)
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
def moments_over_ranks(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean (C,), variance (C,) and count (1,) of each channel of (B, C, H, W) over all ranks.

    Without cancellation: the total variance is the mean over ranks of the variance plus the squared distance of the
    rank's mean from the total mean.
    """
    channels = x.shape[1]
    blank = x.new_zeros(channels, dtype=torch.promote_types(x.dtype, torch.float32))
    count = blank.new_tensor([x.numel() / channels])
    local = torch.cat([*torch.batch_norm_update_stats(x, blank, blank.clone(), 0.0), count])
    rows = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(rows, local)
    means, variances, counts = torch.stack(rows).split([channels, channels, 1], dim=1)
    count = counts.sum(0)
    mean = (means * counts).sum(0) / count
    return mean, ((variances + (means - mean) ** 2) * counts).sum(0) / count, count


class _Normalize(torch.autograd.Function):
    """Batch norm by given moments, with a backward pass that includes their gradients over all ranks.

    Built from the kernels of batch norm in evaluation mode, which accept given moments.
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
        direct, weight_grad, bias_grad = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        totals = torch.cat([weight_grad, bias_grad])
        dist.all_reduce(totals)
        slope, shift = (totals / count).chunk(2)
        gain = weight * torch.rsqrt(variance + ctx.eps)
        through_moments = F.batch_norm(x, mean, variance, gain * slope, gain * shift, training=False, eps=ctx.eps)
        return direct - through_moments, weight_grad, bias_grad, None, None, None, None


normalize: Callable[..., Tensor] = _Normalize.apply
