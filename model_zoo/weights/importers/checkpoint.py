"""Read the state dict of a PyTorch checkpoint, and the facts about its network.

YOLOv5, v6 and v7 pickle whole modules under the keys `ema` and `model`. YOLOX saves a state dict under `model`. The
averaged weights (`ema`) are preferred, as in the original programs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import file_sha256
from model_zoo.weights.pickle_values import Stub, TensorView
from model_zoo.weights.state_dict import StateDict
from model_zoo.weights.torch_file import TorchFile, open_torch_file

Arrays = dict[str, NDArray[np.generic]]

MAX_DEPTH = 32
MAX_MODULES = 10_000  # the largest official network has about 1,200
MAX_MEMBERS = 1_000  # of one module; the largest official one has 262
MAX_TENSORS = 50_000
MAX_NAME_LENGTH = 200


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A state dict with its original keys, and what else the file reveals about the network."""

    state: StateDict
    """Weights by their original keys."""
    sha256: str
    """SHA-256 of the file in hex."""
    class_names: object = ()
    """Class names as the file has them, a list or a mapping, empty if it has none."""
    modules: frozenset[str] = frozenset()
    """Class names of all modules, empty for a plain state dict."""
    strides: tuple[float, ...] = ()
    """Strides of the levels, empty if unknown."""
    batch_norm_eps: frozenset[float] = frozenset()
    """All values of eps in batch norms."""
    notes: tuple[str, ...] = ()
    """Information for the user."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a `.pt` or `.pth` file without executing any code in it.

    Raises:
        LineageError: The file is damaged or malicious, or contains no network.
    """
    sha256 = file_sha256(path)
    with open_torch_file(path) as file:
        source, root = _root(file.tree)
        note = f"weights loaded from {source}"
        if isinstance(root, dict):
            return Checkpoint(_plain_state(file, root), sha256, _class_names(file.tree, root), notes=(note,))
        modules = list(itertools.islice(_modules(root, "", 0), MAX_MODULES + 1))
        if len(modules) > MAX_MODULES:
            raise LineageError(f"expected a network of at most {MAX_MODULES} modules; refused")
        return Checkpoint(
            _arrays(file, (pair for prefix, module in modules for pair in _tensors(prefix, module))),
            sha256,
            class_names=_class_names(file.tree, root),
            modules=frozenset(_name(module.kind) for _, module in modules),
            strides=_strides(file, root),
            batch_norm_eps=_batch_norm_eps(module for _, module in modules),
            notes=(note,),
        )


def _root(tree: object) -> tuple[str, Stub | dict[str, TensorView]]:
    """Return the module or state dict, and its location in the file."""
    candidates = {"the file": tree}
    if isinstance(tree, dict):
        candidates = {f"{key!r}": tree.get(key) for key in ("ema", "model", "state_dict")} | candidates
    for location, value in candidates.items():
        value = _unwrapped(value)
        if isinstance(value, Stub) and "_modules" in _attributes(value):
            return location, value
        if isinstance(value, dict) and any(isinstance(tensor, TensorView) for tensor in value.values()):
            return location, {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, TensorView)}
    raise LineageError("expected a checkpoint with a network under 'ema', 'model' or 'state_dict'; got none of them")


def _unwrapped(value: object) -> object:
    """Return the network inside a DataParallel wrapper."""
    if isinstance(value, Stub) and value.kind.endswith("DataParallel"):
        return _dict(_attributes(value).get("_modules")).get("module")
    return value


def _modules(module: Stub, prefix: str, depth: int) -> Iterator[tuple[str, Stub]]:
    """Yield the module and its descendants with their key prefixes, in the order of torch's state dict."""
    if depth > MAX_DEPTH:
        raise LineageError(f"expected a network nested at most {MAX_DEPTH} levels deep; refused")
    yield prefix, module
    for name, child in _members(module, "_modules"):
        if isinstance(child, Stub):
            yield from _modules(child, f"{prefix}{_name(name)}.", depth + 1)


def _tensors(prefix: str, module: Stub) -> Iterator[tuple[str, TensorView]]:
    non_persistent = _attributes(module).get("_non_persistent_buffers_set")
    for name, value in (*_members(module, "_parameters"), *_members(module, "_buffers")):
        if isinstance(value, TensorView) and not (isinstance(non_persistent, set) and name in non_persistent):
            yield f"{prefix}{_name(name)}", value


def _members(module: Stub, kind: str) -> Iterable[tuple[object, object]]:
    """Return a module's children, parameters or buffers. Modules may share them, so their number is limited."""
    members = _dict(_attributes(module).get(kind))
    if len(members) > MAX_MEMBERS:
        raise LineageError(f"expected modules with at most {MAX_MEMBERS} {kind}; got {len(members)}; refused")
    return members.items()


def _name(name: object) -> str:
    """Return a name if it can be used in keys and messages."""
    if not isinstance(name, str) or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise LineageError(f"expected names of printable text, at most {MAX_NAME_LENGTH} characters; refused")
    return name


def _plain_state(file: TorchFile, tensors: Mapping[str, TensorView]) -> Arrays:
    """Read a state dict, without the `module.` prefix of DataParallel."""
    wrapped = all(key.startswith("module.") for key in tensors)
    return _arrays(file, ((key.removeprefix("module.") if wrapped else key, view) for key, view in tensors.items()))


def _arrays(file: TorchFile, tensors: Iterable[tuple[str, TensorView]]) -> Arrays:
    """Read at most MAX_TENSORS tensors, which together have at most twice the size of their storages."""
    views = {_name(key): view for key, view in itertools.islice(tensors, MAX_TENSORS)}
    stored = sum(storage.length for storage in {view.storage for view in views.values()})
    if sum(math.prod(view.shape) for view in views.values()) > 2 * stored:
        raise LineageError("expected tensors with separate storages; this file reuses its storages many times; refused")
    return {key: file.array(view) for key, view in views.items()}


def _class_names(tree: object, root: object) -> object:
    """Return the class names as the file has them: of the network, of YOLOv5's dict, or of MMDetection's `meta`."""
    top = _dict(tree)
    meta = _dict(top.get("meta"))
    holders = (_attributes(root) if isinstance(root, Stub) else {}, top, meta, _dict(meta.get("dataset_meta")))
    keys = ("names", "class_names", "classes", "CLASSES")
    return next((holder[key] for holder in holders for key in keys if key in holder), ())


def _strides(file: TorchFile, root: Stub) -> tuple[float, ...]:
    strides = _attributes(root).get("stride")
    return tuple(file.array(strides).ravel().tolist()) if isinstance(strides, TensorView) else ()


def _batch_norm_eps(modules: Iterable[Stub]) -> frozenset[float]:
    eps = (_attributes(m).get("eps") for m in modules if m.kind == "torch.nn.modules.batchnorm.BatchNorm2d")
    return frozenset(value for value in eps if isinstance(value, float))


def _attributes(stub: Stub) -> dict[Any, Any]:
    return _dict(stub.state)


def _dict(value: object) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
