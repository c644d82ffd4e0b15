"""All that a run is between two steps, in one file that is there whole or not at all, and that holds no code.

Tensors are those of a safetensors file: `detector/`, `average/`, `criterion/` with their keys, `optimizer/<parameter>/`
with its buffers. The rest is a JSON document in its metadata. There is no state of random numbers in it: what is drawn
in a step depends on the seed and the number of the step alone.
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
from training.loop.engine import Engine
from training.loop.optimizer import learned

METADATA_KEY = "lineage.checkpoint"
Tensors = Mapping[str, Tensor]


@dataclass
class State:
    """How far a run has come.

    epoch: epochs that are done. batch: batches of the next one that were learned from; sums: of their losses by name,
    and counts, images seen in them. images_seen: over the run. updates: of the average. best: fitness, of best_epoch.
    history: one row for each epoch that is done. seconds: that it took. ended: why it ended, if it did.
    """

    epoch: int = 0
    batch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    images: int = 0
    images_seen: int = 0
    updates: int = 0
    best: float = -1.0
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    scaler: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    ended: str = ""


ADAPTER = TypeAdapter(State)


def save(path: Path, engine: Engine, state: State) -> None:
    """Write a checkpoint between two steps of the optimizer."""
    state.images_seen, state.updates = engine.images_seen, engine.average.updates
    state.scaler = engine.scaler.state_dict()
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in _tensors(engine).items()}
    write_tensors(path, tensors, {METADATA_KEY: json.dumps(asdict(state))})


def read(path: Path) -> tuple[Tensors, State]:
    """Read a checkpoint; LineageError if there is none or it is damaged."""
    if not path.is_file():
        raise LineageError(f"expected the checkpoint of a run; there is none at {path}: it ended before the first one")
    try:
        with safe_open(path, framework="pt") as file:
            document = (file.metadata() or {}).get(METADATA_KEY, "")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        return tensors, ADAPTER.validate_python(json.loads(document))
    except (SafetensorError, OSError, ValueError) as error:
        raise LineageError(f"{path}: expected a whole checkpoint; got a damaged one ({error})") from error


def part(tensors: Tensors, name: str) -> dict[str, Tensor]:
    """Return the tensors of one part of a run by their own keys."""
    return {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}


@torch.no_grad()
def restore(engine: Engine, tensors: Tensors, state: State) -> None:
    """Put an engine where the run was; LineageError if the tensors are another run's."""
    _begin_optimizer(engine, part(tensors, "optimizer"))
    own = _tensors(engine)
    shapes, given = ({key: value.shape for key, value in named.items()} for named in (own, tensors))
    if wrong := sorted(key for key in shapes.keys() | given if shapes.get(key) != given.get(key)):
        raise LineageError(f"expected the checkpoint of this run; got one that differs in {', '.join(wrong[:3])}")
    for key, tensor in own.items():
        tensor.copy_(tensors[key])
    engine.images_seen, engine.average.updates = state.images_seen, state.updates
    engine.scaler.load_state_dict(state.scaler)


def _tensors(engine: Engine) -> dict[str, Tensor]:
    """Return every tensor of a run by name, as it is and not as a copy."""
    modules = {"detector": engine.detector, "average": engine.average.detector, "criterion": engine.criterion}
    named = {f"{part}/{key}": value for part, module in modules.items() for key, value in module.state_dict().items()}
    for name, parameter in learned(engine.detector):
        buffers = engine.optimizer.state.get(parameter, {})
        named |= {f"optimizer/{name}/{key}": value for key, value in buffers.items() if isinstance(value, Tensor)}
    return named


def _begin_optimizer(engine: Engine, buffers: Tensors) -> None:
    """Give the optimizer room for its buffers, laid out in memory as their parameters are."""
    for name, parameter in learned(engine.detector):
        for key, value in part(buffers, name).items():
            room = torch.empty_like(parameter) if value.shape == parameter.shape else torch.empty_like(value)
            engine.optimizer.state[parameter][key] = room
