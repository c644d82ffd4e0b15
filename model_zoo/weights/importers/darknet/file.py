"""Darknet's `.weights` files: a header, then the float32 numbers of all layers, without names, shapes or sizes.

Only the order of the layers tells which number is whose. Per layer a file has

    normalized convolution    bias and scale of the normalization, running mean, running variance, filters
    anything else             bias, weights
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
from model_zoo.contract.errors import LineageError

Order = tuple[str, ...]  # paths of modules; each stands for its layers in the order they are registered in


class Header(NamedTuple):
    """Version of the file's format, and the number of images the network was trained on."""

    major: int
    minor: int
    revision: int
    seen: int


def read_weights(path: str | Path) -> tuple[Header, NDArray[np.float32]]:
    """Read header and numbers; LineageError if the file cannot be one of Darknet's."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise LineageError(f"{path}: cannot be read ({error})") from error
    if len(data) < 16:
        raise LineageError(f"{path}: expected a Darknet `.weights` file; got {len(data)} bytes, less than its header")
    major, minor, revision = (int(v) for v in np.frombuffer(data, "<i4", 3))
    _check_version(path, major, minor)
    wide = major * 10 + minor >= 2  # `seen` grew to 64 bits in version 0.2
    start = 20 if wide else 16
    if len(data) < start or (len(data) - start) % 4:
        raise LineageError(f"{path}: expected a header and float32 numbers; got {len(data)} bytes: is it cut off?")
    seen = int(np.frombuffer(data, "<i8" if wide else "<i4", 1, offset=12)[0])
    return Header(major, minor, revision, seen), np.frombuffer(data, "<f4", offset=start)


def _check_version(path: str | Path, major: int, minor: int) -> None:
    if major > 1000 or minor > 1000:
        raise LineageError(
            f"{path}: expected a Darknet `.weights` file; its version would be {major}.{minor}: either it is another "
            "kind of file, or its weights are transposed, which is not supported: write it again with a later Darknet"
        )
    if major < 0 or minor < 0:
        raise LineageError(f"{path}: expected a Darknet `.weights` file; its version would be {major}.{minor}")


def tensors(model: nn.Module, order: Order) -> Iterator[Tensor]:
    """Yield the tensors of `model` in the order of a `.weights` file."""
    for path in order:
        for layer in layers(model.get_submodule(path)):
            yield from _arrays(layer)


def layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the parts of `module` that Darknet stores as one layer, in the order of their registration."""
    if isinstance(module, Conv) or next(module.parameters(recurse=False), None) is not None:
        yield module
        return
    for child in module.children():
        yield from layers(child)


def _arrays(layer: nn.Module) -> tuple[Tensor, ...]:
    """List the tensors of one layer in the order of the file."""
    if isinstance(layer, Conv):
        norm = layer.bn
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        return norm.bias, norm.weight, norm.running_mean, norm.running_var, layer.conv.weight
    assert isinstance(layer.bias, Tensor)
    assert isinstance(layer.weight, Tensor)
    return layer.bias, layer.weight


def count(targets: Iterable[Tensor]) -> int:
    """Count the floats that a file has for `targets`."""
    return sum(target.numel() for target in targets)


@torch.no_grad()
def fill(targets: Iterable[Tensor], numbers: NDArray[np.float32]) -> None:
    """Copy `numbers`, in order, into the targets, which hold no more than there are."""
    start = 0
    for target in targets:
        end = start + target.numel()
        target.copy_(torch.from_numpy(numbers[start:end].reshape(target.shape).copy()))
        start = end
