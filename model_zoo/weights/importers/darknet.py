"""Darknet `.weights` files: a header, then float32 numbers of all layers, without names, shapes or sizes.

Only the order of the layers tells which number is whose. `ORDERS` spells it out: the modules of each variant in the
order of the original's cfg, every one expanded to its layers in the order they are registered in. Per layer a file has

    normalised convolution    bias and scale of the normalisation, running mean, running variance, filters
    anything else             bias, weights
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_zoo import registry
from model_zoo.blocks.conv import Conv
from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector

Order = tuple[str, ...]

_YOLOV3: Order = (
    *("backbone", "neck.set5", "neck.out5", "head.predict.2"),
    *("neck.reduce5", "neck.set4", "neck.out4", "head.predict.1"),
    *("neck.reduce4", "neck.set3", "neck.out3", "head.predict.0"),
)
_YOLOV3_TINY: Order = (
    *("backbone", "neck.set5", "neck.out5", "head.predict.1"),
    *("neck.reduce5", "neck.out4", "head.predict.0"),
)
_WHOLE: Order = ("backbone", "neck", "head")
ORDERS: dict[str, Order] = {
    **dict.fromkeys(("yolov2", "yolov2-voc", "yolov2-tiny", "yolov2-tiny-voc", "yolov2-test"), _WHOLE),
    **dict.fromkeys(("yolov3", "yolov3-spp", "yolov3-voc", "yolov3-test"), _YOLOV3),
    "yolov3-tiny": _YOLOV3_TINY,
}


class Header(NamedTuple):
    """Version of the file's format, and the number of images the network was trained on."""

    major: int
    minor: int
    revision: int
    seen: int


class Size(NamedTuple):
    """How many floats a variant's file has: `base` + `per_class` for each class."""

    base: int
    per_class: int

    def floats(self, num_classes: int) -> int:
        """Count the floats of a file with `num_classes`."""
        return self.base + self.per_class * num_classes

    def num_classes(self, floats: int) -> int | None:
        """Return the class count that makes a file of `floats`, if there is one."""
        count, rest = divmod(floats - self.base, self.per_class)
        return count if rest == 0 and count > 0 else None


def from_darknet(
    variant: str, path: str | Path, *, num_classes: int | None = None, class_names: Sequence[str] | None = None
) -> Detector:
    """Build `variant` with the numbers of a `.weights` file; returned in evaluation mode.

    The class count is that of `class_names` or `num_classes`, or else it follows from the size of the file. Raises
    LineageError if the file is not one of Darknet's or its size is not the variant's.
    """
    if variant not in ORDERS:
        family = registry.family_of(variant)  # raises for a name that nothing has
        raise LineageError(f"expected one of {', '.join(ORDERS)}; {variant} ({family}) has no `.weights` files")
    _, numbers = read_weights(path)
    wanted = num_classes if class_names is None else len(class_names)
    count = _class_count(variant, numbers.size, wanted)
    detector = registry.build(variant, count if class_names is None else num_classes, class_names)
    fill(tensors(detector, ORDERS[variant]), numbers)
    return detector.eval()


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
        raise LineageError(
            f"{path}: expected a header and whole float32 numbers; got {len(data)} bytes: is it cut off?"
        )
    seen = int(np.frombuffer(data, "<i8" if wide else "<i4", 1, offset=12)[0])
    return Header(major, minor, revision, seen), np.frombuffer(data, "<f4", offset=start)


def _check_version(path: str | Path, major: int, minor: int) -> None:
    if major > 1000 or minor > 1000:
        raise LineageError(
            f"{path}: version {major}.{minor} marks transposed weights, which are not supported (or the file is not "
            "Darknet's); write the file again with a Darknet of 2016 or later"
        )
    if major < 0 or minor < 0:
        raise LineageError(f"{path}: expected a Darknet `.weights` file; its version would be {major}.{minor}")


def tensors(model: nn.Module, order: Order) -> Iterator[Tensor]:
    """Yield the tensors of `model` in the order of a `.weights` file."""
    for path in order:
        for layer in _layers(model.get_submodule(path)):
            yield from _arrays(layer)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the parts of `module` that Darknet stores as one layer, in the order of their registration."""
    if isinstance(module, Conv) or next(module.parameters(recurse=False), None) is not None:
        yield module
        return
    for child in module.children():
        yield from _layers(child)


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


@torch.no_grad()
def fill(targets: Iterator[Tensor], numbers: NDArray[np.float32]) -> None:
    """Copy `numbers`, in order, into the targets; there must be as many as the targets hold."""
    start = 0
    for target in targets:
        end = start + target.numel()
        target.copy_(torch.from_numpy(numbers[start:end].reshape(target.shape).copy()))
        start = end
    assert start == numbers.size


def size_of(variant: str) -> Size:
    """Return how the number of floats of a variant's file depends on its classes."""
    one, two = (_count_floats(variant, num_classes) for num_classes in (1, 2))
    return Size(2 * one - two, two - one)


def _count_floats(variant: str, num_classes: int) -> int:
    return sum(t.numel() for t in tensors(_shapes(variant, num_classes), ORDERS[variant]))


def _shapes(variant: str, num_classes: int | None = None) -> Detector:
    """Build `variant` without numbers, in no time."""
    with torch.device("meta"):
        return registry.build(variant, num_classes)


def recognise(floats: int) -> list[tuple[str, int]]:
    """List the variants, with class counts, whose files have `floats` numbers; likely ones first.

    Networks that differ in anchors or preprocessing alone cannot be told apart by their files.
    """
    fits = [(variant, size_of(variant).num_classes(floats)) for variant in ORDERS]
    found = [(variant, count) for variant, count in fits if count is not None]
    return sorted(found, key=lambda fit: fit[1] not in (20, 80))


def _class_count(variant: str, floats: int, wanted: int | None) -> int:
    """Check the size of the file against the wanted class count, or find the count it has."""
    size = size_of(variant)
    fitting = size.num_classes(floats)
    if fitting is not None and wanted in (None, fitting):
        return fitting
    usual = len(_shapes(variant).class_names) if wanted is None else wanted
    hint = _hint(variant, floats, fitting)
    raise LineageError(
        f"expected {size.floats(usual):,} floats for {variant} with {usual} classes; the file has {floats:,}; {hint}"
    )


def _hint(variant: str, floats: int, fitting: int | None) -> str:
    if fitting is not None:
        return f"it fits {variant} with {fitting} classes: give that many class names, or none"
    found = [f"{name} with {count} classes" for name, count in recognise(floats)]
    return f"it fits {' or '.join(found)}" if found else "it is of another network, or cut off"
