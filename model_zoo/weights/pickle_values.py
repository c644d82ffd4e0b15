"""Values that the safe pickle interpreter can build: plain values, and inert records of everything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from model_zoo.contract.errors import LineageError


@dataclass(frozen=True)
class Global:
    """A name in a module that the pickle refers to. It is not imported."""

    path: str
    """Dotted path."""

    def __str__(self) -> str:
        return ascii(self.path[:80])[1:-1]


@dataclass(eq=False)
class Stub:
    """Inert record of an object of an unknown class."""

    kind: str
    """Dotted path of the class."""
    arguments: tuple[object, ...] = ()
    """Arguments of the constructor."""
    state: object = None
    """State, as passed to `__setstate__`."""
    items: list[tuple[object, object]] = field(default_factory=list)
    """Items (key, value) added to it. List items have the key None."""


@dataclass(frozen=True)
class Storage:
    """An array of numbers outside the pickle."""

    kind: str
    """Type name, such as `HalfStorage`."""
    key: str
    """Name of the storage in the file."""
    length: int
    """Length in numbers."""


@dataclass(frozen=True)
class TensorView:
    """A tensor as a view of a storage, which has not been read."""

    storage: Storage
    """Storage of its numbers."""
    offset: int
    """Index of its first number in the storage."""
    shape: tuple[int, ...]
    """Shape."""
    strides: tuple[int, ...]
    """Strides in numbers."""


def call(function: object, arguments: tuple[Any, ...]) -> object:
    """Execute a call that checkpoints need, or record a harmless one.

    Raises:
        LineageError: The call is neither.
    """
    if isinstance(function, Global) and function.path in _CALLS:
        return _CALLS[function.path](*arguments)
    if isinstance(function, Global) and function.path in _INERT:
        return Stub(function.path, arguments)
    what = function if isinstance(function, Global) else f"something of type {type(function).__name__}"
    raise LineageError(
        f"refused: loading this file would call {what}, which no checkpoint needs. If you trust the file, load it with "
        "the program that wrote it and save its state dict as .safetensors"
    )


def checked_key(value: object) -> object:
    """Return a key if it cannot be used for hash collisions: None, text, numbers and records.

    Raises:
        LineageError: The key is of another type.
    """
    if value is None or isinstance(value, str | int | float | Global | Stub):
        return value
    raise LineageError(f"expected text or numbers as keys; got {type(value).__name__}; refused")


def _ordered_dict(pairs: object = None) -> dict[object, object]:
    return {checked_key(key): value for key, value in _list(pairs)}


def _set(items: object = None) -> set[object]:
    return {checked_key(item) for item in _list(items)}


def _list(value: object) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise TypeError("expected items in a list")
    return value or []


def _tensor(storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> TensorView:
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise TypeError("expected a tensor with a storage")
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("expected a tensor with a valid shape")
    return TensorView(storage, offset, tuple(shape), tuple(strides))


def _parameter(data: object, *_: object) -> object:
    return data


def _reconstruct(kind: object, *_: object) -> Stub:
    """Record an object of protocol 0 or 1."""
    if not isinstance(kind, Global):
        raise TypeError("expected a class")
    return Stub(kind.path)


_CALLS: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _ordered_dict,
    "__builtin__.set": _set,
    "builtins.set": _set,
    "copyreg._reconstructor": _reconstruct,
    "copy_reg._reconstructor": _reconstruct,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}

# Calls that are recorded but not executed: importers do not use their results.
_INERT = frozenset(
    {
        "_codecs.encode",
        "collections.Counter",
        "collections.defaultdict",
        "datetime.date",
        "datetime.datetime",
        "datetime.timedelta",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.WindowsPath",
        "pathlib._local.PosixPath",
        "pathlib._local.WindowsPath",
        "torch.Size",
        "torch.device",
        "torch.torch_version.TorchVersion",
    }
)
