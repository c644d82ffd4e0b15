"""What the safe pickle interpreter can make: plain values, and inert records of everything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from model_zoo.contract.errors import LineageError


@dataclass(frozen=True)
class Global:
    """A name of a module that the pickle mentions; nothing is imported."""

    path: str

    def __str__(self) -> str:
        return ascii(self.path[:80])[1:-1]


@dataclass(eq=False)
class Stub:
    """An object of a foreign class, inert: its class, how it was made, its state, and items put into it."""

    kind: str
    arguments: tuple[object, ...] = ()
    state: object = None
    items: list[tuple[object, object]] = field(default_factory=list)


@dataclass(frozen=True)
class Storage:
    """A stretch of numbers outside the pickle: type name (as `HalfStorage`), key, length in numbers."""

    kind: str
    key: str
    length: int


@dataclass(frozen=True)
class TensorView:
    """A tensor as a pickle describes it: a view of a storage, not read yet."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def call(function: object, arguments: tuple[Any, ...]) -> object:
    """Do the call if checkpoints need it, record it if it is harmless, refuse the file otherwise."""
    if isinstance(function, Global) and function.path in _CALLS:
        return _CALLS[function.path](*arguments)
    if isinstance(function, Global) and function.path in _INERT:
        return Stub(function.path, arguments)
    what = function if isinstance(function, Global) else f"something of type {type(function).__name__}"
    raise LineageError(
        f"refused: while being read, the file asks to call {what}, which no checkpoint needs. If you trust it, load it "
        "with the program that wrote it and save the plain state dict as .safetensors"
    )


def checked_key(value: object) -> object:
    """Let through only keys that hash fast and apart: a file cannot choose how those of text collide."""
    if value is None or isinstance(value, str | int | Global | Stub):
        return value
    raise LineageError(f"expected names as keys; the pickle has a key of type {type(value).__name__}; refused")


def _ordered_dict(pairs: object = None) -> dict[object, object]:
    return {checked_key(key): value for key, value in _list(pairs)}


def _set(items: object = None) -> set[object]:
    return {checked_key(item) for item in _list(items)}


def _list(value: object) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise TypeError("items that are no list")
    return value or []


def _tensor(storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> TensorView:
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise TypeError("a tensor without storage")
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("a tensor of impossible shape")
    return TensorView(storage, offset, tuple(shape), tuple(strides))


def _parameter(data: object, *_: object) -> object:
    return data


def _reconstruct(kind: object, *_: object) -> Stub:
    """Objects of protocols 0 and 1."""
    if not isinstance(kind, Global):
        raise TypeError("an object without class")
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

# Left undone: what they would make is not needed, and recording the call is harmless.
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
