"""Darknet's `.weights` files: a header, then the float32 parameters of all layers, without names, shapes or sizes.

The order of the layers alone assigns the numbers to them. Each layer is stored as

    batch-normalized convolution    beta, gamma, running mean, running variance, kernel
    any other layer                 bias, weight
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv
from model_zoo.contract import file_kind
from model_zoo.contract.errors import LineageError
from model_zoo.contract.file_kind import describe

LayerOrder = tuple[str, ...]  # module paths; each stands for all its layers, in order of registration


class Header(NamedTuple):
    """Header of a `.weights` file."""

    major: int
    """Major version of the format."""
    minor: int
    """Minor version of the format."""
    revision: int
    """Revision of the format."""
    seen: int
    """Number of images the network was trained on."""


def read_weights(path: str | Path) -> tuple[Header, NDArray[np.float32]]:
    """Read the header and the parameters.

    Raises:
        LineageError: The file cannot be read, or is not a Darknet `.weights` file.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise LineageError(f"{path}: cannot be read ({error})") from error
    if len(data) < 16:
        raise LineageError(f"{path}: expected a Darknet `.weights` file; got {describe(Path(path))}: {len(data)} bytes")
    major, minor, revision = (int(v) for v in np.frombuffer(data, "<i4", 3))
    _check_version(path, major, minor)
    wide = major * 10 + minor >= 2  # `seen` has 64 bits since version 0.2
    start = 20 if wide else 16
    if len(data) < start or (len(data) - start) % 4:
        raise LineageError(
            f"{path}: expected a header and float32 numbers; got {len(data)} bytes. Is the file truncated?"
        )
    seen = int(np.frombuffer(data, "<i8" if wide else "<i4", 1, offset=12)[0])
    return Header(major, minor, revision, seen), np.frombuffer(data, "<f4", offset=start)


def _check_version(path: str | Path, major: int, minor: int) -> None:
    if max(major, minor) > 1000 or min(major, minor) < 0:
        kind = describe(Path(path))
        is_transposed = kind.startswith(file_kind.UNKNOWN) and min(major, minor) >= 0 and max(major, minor) < 10_000
        hint = f" (version {major}.{minor}, as with transposed weights: save it again with a newer Darknet)"
        raise LineageError(f"{path}: expected a Darknet `.weights` file; got {kind}{hint * is_transposed}")


def tensors(model: nn.Module, order: LayerOrder) -> Iterator[Tensor]:
    """Yield the tensors of a model in the order of a `.weights` file."""
    for path in order:
        for layer in layers(model.get_submodule(path)):
            yield from _tensors_of(layer)


def layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the submodules that Darknet stores as one layer, in order of registration."""
    if isinstance(module, Conv) or next(module.parameters(recurse=False), None) is not None:
        yield module
        return
    for child in module.children():
        yield from layers(child)


def _tensors_of(layer: nn.Module) -> tuple[Tensor, ...]:
    """Return the tensors of one layer in the order of the file."""
    if isinstance(layer, Conv):
        norm = layer.bn
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        return norm.bias, norm.weight, norm.running_mean, norm.running_var, layer.conv.weight
    assert isinstance(layer.bias, Tensor)
    assert isinstance(layer.weight, Tensor)
    return layer.bias, layer.weight


def count_floats(targets: Iterable[Tensor]) -> int:
    """Return the number of floats that a file holds for `targets`."""
    return sum(target.numel() for target in targets)


@torch.no_grad()
def fill(targets: Iterable[Tensor], numbers: NDArray[np.float32]) -> None:
    """Copy `numbers` into the targets, in order. Numbers beyond the last target are ignored."""
    start = 0
    for target in targets:
        end = start + target.numel()
        target.copy_(torch.from_numpy(numbers[start:end].reshape(target.shape).copy()))
        start = end
