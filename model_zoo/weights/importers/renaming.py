"""Rename the keys of an official state dict and load it, or say precisely why it does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector

State = Mapping[str, NDArray[np.generic]]
Table = Sequence[tuple[str, str]]  # (regular expression, replacement), applied in order, each one to all keys

SHOWN = 5  # keys listed of each kind of mismatch


def rename(state: State, table: Table) -> dict[str, NDArray[np.generic]]:
    """Apply every rule of the table, in order, to every key."""
    return {_renamed(key, table): value for key, value in state.items()}


def by_level(original: str, ours: str, names: Mapping[str, str]) -> Table:
    """Return rules from `<original>.<name>.<level>.` to `<ours>.<level>.<our name>.`, for both names of `names`."""
    return tuple((rf"^{original}\.{name}\.(\d)\.", rf"{ours}.\1.{our}.") for name, our in names.items())


def load(detector: Detector, state: State, table: Table) -> Detector:
    """Fill `detector` with `state`, renamed by `table`, as float32; LineageError lists what does not fit.

    Counters of batches (`num_batches_tracked`) may be absent: inference does not use them.
    """
    renamed = rename(state, table)
    expected = detector.state_dict()
    original = dict(zip(renamed, state, strict=True))
    missing = [k for k in expected if k not in renamed and not k.endswith("num_batches_tracked")]
    unknown = [original[k] for k in renamed if k not in expected]
    shared = [k for k in renamed if k in expected]
    misshaped = [
        f"{original[k]} (expected {tuple(expected[k].shape)}, got {renamed[k].shape})"
        for k in shared
        if tuple(expected[k].shape) != renamed[k].shape
    ]
    if missing or unknown or misshaped:
        raise LineageError(_complaint(detector.variant, missing, unknown, misshaped))
    detector.load_state_dict({k: _tensor(renamed[k], expected[k]) for k in shared}, strict=False)
    return detector


def require(state: State, key: str, variant: str) -> NDArray[np.generic]:
    """Return `state[key]`; LineageError if it is not there."""
    if key not in state:
        raise LineageError(_complaint(variant, [key], [], []))
    return state[key]


def _renamed(key: str, table: Table) -> str:
    for pattern, replacement in table:
        key = re.sub(pattern, replacement, key)
    return key


def _tensor(value: NDArray[np.generic], like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.array(value)).to(like.dtype)


def _complaint(variant: str, missing: Sequence[str], unknown: Sequence[str], misshaped: Sequence[str]) -> str:
    kinds = {"missing": missing, "unknown": unknown, "of another shape": misshaped}
    found = "; ".join(f"{len(keys)} {kind}: {_some(keys)}" for kind, keys in kinds.items() if keys)
    return f"expected weights of {variant}; got a state dict that does not fit it ({found}); is it another variant?"


def _some(keys: Sequence[str]) -> str:
    return ", ".join(keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")
