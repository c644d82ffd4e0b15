"""Class names as checkpoints and settings have them: lists, or mappings with keys and values of any plain type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from model_zoo.contract.errors import LineageError

MAX_LENGTH = 200
MAX_NAMES = 100_000


def read_class_names(names: object, count: int | None = None) -> tuple[str, ...]:
    """Return class names in the order of the class indices, empty if `names` holds none.

    Keys may be numbers, text or both, and need not start at 0. If there are `count` keys, their order counts, otherwise
    the numbers themselves. Values that are no text, such as numbers, become text.

    Raises:
        LineageError: A name is too long, or there are too many.
    """
    if isinstance(names, np.ndarray) and names.dtype.kind in "USO":
        names = names.tolist()
    if isinstance(names, Mapping):
        return _from_mapping(names, count)
    if not isinstance(names, Sequence) or isinstance(names, str | bytes):
        return ()
    _check_number(len(names))
    return tuple(clean_name(name, index) for index, name in enumerate(names))


def clean_name(name: object, index: int) -> str:
    """Return a class name on one line without control characters, `class<index>` if it is empty.

    Raises:
        LineageError: The name is too long.
    """
    if isinstance(name, Mapping) and "name" in name:  # a category of COCO
        name = name["name"]
    text = name.decode(errors="replace") if isinstance(name, bytes) else "" if name is None else str(name)
    text = "".join(c for c in " ".join(text.split()) if c.isprintable() or c in "\u200c\u200d")  # joiners of scripts
    if len(text) > MAX_LENGTH:
        raise LineageError(f"expected class names of at most {MAX_LENGTH} characters; class {index} has {len(text)}")
    return text or f"class{index}"


def _from_mapping(names: Mapping[Any, object], count: int | None) -> tuple[str, ...]:
    _check_number(len(names))
    by_number = {_number(key): name for key, name in names.items()}
    if None in by_number:
        swapped = {_number(number): name for name, number in names.items()}  # name -> index
        return () if None in swapped else _from_mapping(swapped, count)
    keys = sorted(key for key in by_number if key is not None)
    if count is not None and len(keys) != count and keys and keys[0] >= 0 and keys[-1] < count:
        return tuple(clean_name(by_number.get(index), index) for index in range(count))
    return tuple(clean_name(by_number[key], index) for index, key in enumerate(keys))


def _number(key: object) -> int | None:
    """Return a key as a number, None for other text."""
    try:
        number = float(key)  # type: ignore[arg-type]  # other types raise
        return int(number) if number.is_integer() else None
    except (TypeError, ValueError):
        return None


def _check_number(count: int) -> None:
    if count > MAX_NAMES:
        raise LineageError(f"expected at most {MAX_NAMES:,} class names; got {count:,}")
