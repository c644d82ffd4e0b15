"""Data-parallel training: `torchrun ... lineage train ...` starts one process per rank.

Ranks hold the same weights, train on their shares of every batch, average gradients (DistributedDataParallel) and share
batch-norm statistics. Rank 0 evaluates and writes files; other ranks follow its decisions.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from loky import cpu_count
from torch import Tensor, nn
from torch._C._distributed_c10d import TCPStore  # torch.distributed.TCPStore, with its type
from torch.nn.parallel import DistributedDataParallel

from training.loop.sync_batch_norm import convert_batch_norms

T = TypeVar("T")
TIMEOUT = timedelta(minutes=10)  # of an operation in training: how long a lost machine goes unnoticed
DECISION_TIMEOUT = timedelta(hours=6)  # other ranks wait this long while rank 0 evaluates
STORE_PORT = "lineage/store_port"  # key in the store of torchrun's agent


def average_over_ranks(value: Tensor) -> Tensor:
    """Return the mean of `value` over the ranks, without gradient.

    Outside a process group, `value` itself is returned. Gradients are averaged over ranks: a loss divided by the mean
    count of the ranks is in effect divided by the total count.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return value
    mean = value.detach().clone()
    dist.all_reduce(mean)
    return mean / dist.get_world_size()


def is_lost_rank(error: RuntimeError) -> bool:
    """Return True for the error of a collective operation of which another rank has ended. Gloo's has no type."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


@dataclass(frozen=True)
class ProcessGroup:
    """Process group of a run, seen from one of its ranks."""

    rank: int = 0
    """Rank of this process."""
    world_size: int = 1
    """Number of ranks."""
    local_rank: int = 0
    """Rank of this process on its machine."""
    decisions: dist.ProcessGroup | None = None
    """Group of all ranks whose operations wait until rank 0 has evaluated. None for the default group."""

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which evaluates and writes files."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network with averaged gradients and synchronized batch norms, sharing its weights."""
        if self.world_size == 1:
            return network
        return DistributedDataParallel(convert_batch_norms(network), forward_sync_buffers=False)

    def no_sync(self, network: nn.Module) -> AbstractContextManager[Any]:
        """Return a context in which gradients accumulate without being averaged."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def any(self, *flags: bool) -> list[bool]:
        """Return True for each flag that is set on any rank."""
        if self.world_size == 1:
            return list(flags)
        counts = torch.tensor(flags, dtype=torch.int64)
        dist.all_reduce(counts)
        return counts.bool().tolist()

    def broadcast(self, value: T) -> T:
        """Return the value of rank 0. The other ranks wait for it, even while rank 0 evaluates."""
        if self.world_size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, group=self.decisions, device=torch.device("cpu"))
        return values[0]


@contextmanager
def process_group(cuda: bool) -> Iterator[ProcessGroup]:
    """Join the process group of a launcher, or yield a group of one rank without one.

    torchrun sets environment variables only. Ray Train also sets up the group, and ends it.

    Args:
        cuda: Whether the ranks train on GPUs.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield ProcessGroup()
        return
    local_rank, local_world_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if cuda:
        torch.cuda.set_device(local_rank)
    else:
        torch.set_num_threads(max(cpu_count() // local_world_size, 1))
    rank, backend = int(os.environ["RANK"]), "cpu:gloo,cuda:nccl" if cuda else "gloo"
    if dist.is_initialized():
        yield _with_decisions(rank, world_size, local_rank)
        return
    store = _new_store(rank) if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" else None
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=TIMEOUT)
    try:
        yield _with_decisions(rank, world_size, local_rank)
    finally:
        dist.destroy_process_group()


def _with_decisions(rank: int, world_size: int, local_rank: int) -> ProcessGroup:
    """Return the default group, with one of longer timeout for decisions of rank 0."""
    decisions = dist.new_group(timeout=DECISION_TIMEOUT, backend="gloo")
    return ProcessGroup(rank, world_size, local_rank, decisions)


def _new_store(rank: int) -> TCPStore:
    """Return a new store on rank 0 for the ranks to find each other.

    The store of torchrun's agent outlives the ranks. After a restart, new ranks would find the addresses of those that
    ended there, and wait for them (pytorch/pytorch#135712). So it has the address of the new store only. An old address
    refuses connections: all ranks have ended before torchrun starts new ones.
    """
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    agent = TCPStore(host, port, is_master=False, timeout=TIMEOUT)
    if rank == 0:
        store = TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=TIMEOUT)
        agent.set(STORE_PORT, str(store.port))
        return store
    while not _accepts(host, port := int(agent.get(STORE_PORT))):
        time.sleep(0.1)
    return TCPStore(host, port, is_master=False, timeout=TIMEOUT)


def _accepts(host: str, port: int) -> bool:
    """Return True if a server accepts connections. `TCPStore` would log a stack trace for each failure."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True
