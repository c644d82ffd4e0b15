"""Rename the keys of an official state dict and load it into a detector."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.weights.state_dict import StateDict

RenameTable = Sequence[tuple[str, str]]  # (regular expression, replacement), applied in order to every key

MAX_LISTED = 5  # keys listed for each kind of mismatch


def rename(state: StateDict, table: RenameTable) -> dict[str, NDArray[np.generic]]:
    """Apply every rule of the table, in order, to every key."""
    return {_renamed(key, table): value for key, value in state.items()}


def by_level(original: str, native: str, names: Mapping[str, str]) -> RenameTable:
    """Return rules from `<original>.<name>.<level>.` to `<native>.<level>.<native name>.` for each pair in `names`."""
    return tuple(
        (rf"^{original}\.{name}\.(\d)\.", rf"{native}.\1.{native_name}.") for name, native_name in names.items()
    )


def load(detector: Detector, state: StateDict, table: RenameTable) -> Detector:
    """Load a state dict, renamed by `table`, into the detector as float32.

    `num_batches_tracked` may be missing, because inference does not use it.

    Raises:
        LineageError: Keys are missing, unknown or of another shape. The message lists them.
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
        raise LineageError(_mismatch(detector.variant, missing, unknown, misshaped))
    detector.load_state_dict({k: _tensor(renamed[k], expected[k]) for k in shared}, strict=False)
    return detector


def require(state: StateDict, key: str, variant: str) -> NDArray[np.generic]:
    """Return `state[key]`.

    Raises:
        LineageError: The key is missing.
    """
    if key not in state:
        raise LineageError(_mismatch(variant, [key], [], []))
    return state[key]


def _renamed(key: str, table: RenameTable) -> str:
    for pattern, replacement in table:
        key = re.sub(pattern, replacement, key)
    return key


def _tensor(value: NDArray[np.generic], like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.array(value)).to(like.dtype)


def _mismatch(variant: str, missing: Sequence[str], unknown: Sequence[str], misshaped: Sequence[str]) -> str:
    kinds = {"missing": missing, "unknown": unknown, "of another shape": misshaped}
    listed = "; ".join(f"{len(keys)} {kind}: {_list(keys)}" for kind, keys in kinds.items() if keys)
    return f"Checkpoint does not match {variant} ({listed}). Is it a different variant?"


def _list(keys: Sequence[str]) -> str:
    return ", ".join(keys[:MAX_LISTED]) + (", ..." if len(keys) > MAX_LISTED else "")
