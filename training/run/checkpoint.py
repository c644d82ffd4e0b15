"""Training checkpoint: the full state between two steps, written atomically, without pickle.

A safetensors file. Tensors are named `detector/...`, `average/...`, `criterion/...` by their keys, and
`optimizer/<parameter>/...` by their buffers. The rest of the state is a JSON document in the metadata. No random state
is saved, because randomness in a step depends on the seed and the step number only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model_zoo.contract.errors import LineageError
from model_zoo.weights.store import write_tensors
from training.loop.engine import TrainLoop
from training.loop.optimizer import trainable_parameters

METADATA_KEY = "lineage.checkpoint"
Tensors = Mapping[str, Tensor]


@dataclass
class TrainingState:
    """Progress of a run."""

    epoch: int = 0
    """Completed epochs."""
    batch: int = 0
    """Completed batches of the current epoch."""
    loss_sums: dict[str, float] = field(default_factory=dict)
    """Sums of the losses by name over the completed batches."""
    images: int = 0
    """Images in the completed batches, of this rank."""
    images_seen: int = 0
    """Images of the run, over all ranks."""
    average_updates: int = 0
    """Updates of the averaged weights."""
    best_fitness: float = -1.0
    """Fitness of the best epoch."""
    best_epoch: int = 0
    """Best epoch, from 1, or 0 if none was evaluated."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One row per completed epoch."""
    scaler: dict[str, float] = field(default_factory=dict)
    """State of the gradient scaler."""
    seconds: float = 0.0
    """Time spent in the current epoch."""
    stop_reason: str = ""
    """Why the run ended, or empty while it has not."""


ADAPTER = TypeAdapter(TrainingState)


def save(path: Path, loop: TrainLoop, state: TrainingState) -> None:
    """Write a checkpoint. Call it between two optimizer steps only."""
    state.images_seen, state.average_updates = loop.images_seen, loop.average.updates
    state.scaler = loop.scaler.state_dict()
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in _named_tensors(loop).items()}
    write_tensors(path, tensors, {METADATA_KEY: json.dumps(asdict(state))})


def read(path: Path) -> tuple[Tensors, TrainingState]:
    """Read tensors and state of a checkpoint.

    Raises:
        LineageError: The file does not exist or is damaged.
    """
    if not path.is_file():
        raise LineageError(f"{path}: expected a checkpoint; the run was stopped before it wrote one")
    try:
        with safe_open(path, framework="pt") as file:
            document = (file.metadata() or {}).get(METADATA_KEY, "")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        return tensors, ADAPTER.validate_python(json.loads(document))
    except (SafetensorError, OSError, ValueError) as error:
        raise LineageError(f"{path}: expected a checkpoint, but the file is damaged ({error})") from error


def select(tensors: Tensors, prefix: str) -> dict[str, Tensor]:
    """Return the tensors named `prefix/...`, without the prefix."""
    return {key.removeprefix(f"{prefix}/"): value for key, value in tensors.items() if key.startswith(f"{prefix}/")}


@torch.no_grad()
def restore(loop: TrainLoop, tensors: Tensors, state: TrainingState) -> None:
    """Load tensors and state of a checkpoint into a loop.

    Raises:
        LineageError: The tensors are those of another network or optimizer.
    """
    _allocate_buffers(loop, select(tensors, "optimizer"))
    expected = _named_tensors(loop)
    shapes, actual = ({key: value.shape for key, value in named.items()} for named in (expected, tensors))
    if wrong := sorted(key for key in shapes.keys() | actual if shapes.get(key) != actual.get(key)):
        raise LineageError(f"expected the checkpoint of this run; got one that differs in {', '.join(wrong[:3])}")
    for key, tensor in expected.items():
        tensor.copy_(tensors[key])
    loop.images_seen, loop.average.updates = state.images_seen, state.average_updates
    loop.scaler.load_state_dict(state.scaler)


def _named_tensors(loop: TrainLoop) -> dict[str, Tensor]:
    """Return every tensor of a run by name, without copying."""
    modules = {"detector": loop.detector, "average": loop.average.detector, "criterion": loop.criterion}
    named = {f"{part}/{key}": value for part, module in modules.items() for key, value in module.state_dict().items()}
    for name, parameter in trainable_parameters(loop.detector):
        buffers = loop.optimizer.state.get(parameter, {})
        named |= {f"optimizer/{name}/{key}": value for key, value in buffers.items() if isinstance(value, Tensor)}
    return named


def _allocate_buffers(loop: TrainLoop, buffers: Tensors) -> None:
    """Allocate the optimizer's buffers in the memory format of their parameters."""
    for name, parameter in trainable_parameters(loop.detector):
        for key, value in select(buffers, name).items():
            like = parameter if value.shape == parameter.shape else value
            loop.optimizer.state[parameter][key] = torch.empty_like(like)
