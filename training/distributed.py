"""Several processes that train one model."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor


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
