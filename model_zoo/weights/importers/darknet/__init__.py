"""Darknet's networks: which module each part of a `.weights` file belongs to, and which networks a file fits.

`ORDERS` has the modules of each variant in the order of the original's cfg.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, overload

import torch

from model_zoo import registry
from model_zoo.classifier import CLASSIFIERS, Classifier, build_classifier
from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.heads.anchor import AnchorHead
from model_zoo.weights.importers.checkpoint import Recognition
from model_zoo.weights.importers.darknet.cfg import Anchors, Detections, detections, read_cfg
from model_zoo.weights.importers.darknet.file import Order, count, fill, read_weights, tensors

_WHOLE: Order = ("backbone", "neck", "head")
_YOLOV3: Order = (
    *("backbone", "neck.set5", "neck.out5", "head.predict.2"),
    *("neck.reduce5", "neck.set4", "neck.out4", "head.predict.1"),
    *("neck.reduce4", "neck.set3", "neck.out3", "head.predict.0"),
)
_TINY: Order = (
    *("backbone", "neck.set5", "neck.out5", "head.predict.1"),
    *("neck.reduce5", "neck.out4", "head.predict.0"),
)
_YOLOV4: Order = (
    *("backbone", "neck.top5", "neck.reduce5", "neck.lateral4", "neck.top4", "neck.reduce4", "neck.lateral3"),
    *("neck.top3", "neck.out3", "head.predict.0"),
    *("neck.down4", "neck.bottom4", "neck.out4", "head.predict.1"),
    *("neck.down5", "neck.bottom5", "neck.out5", "head.predict.2"),
)
ORDERS: dict[str, Order] = {
    **dict.fromkeys(("yolov1", "yolov1-tiny", "yolov1-paper", "yolov1-fast", "yolov1-test"), _WHOLE),
    **dict.fromkeys(("yolov2", "yolov2-voc", "yolov2-tiny", "yolov2-tiny-voc", "yolov2-test"), _WHOLE),
    **dict.fromkeys(("yolov3", "yolov3-spp", "yolov3-voc", "yolov3-test"), _YOLOV3),
    **dict.fromkeys(("yolov4", "yolov4-csp", "yolov4-csp-swish", "yolov4-csp-x-mish", "yolov4x-mish"), _YOLOV4),
    **dict.fromkeys(("yolov4-p5", "yolov4-test", "yolov4-csp-test"), _YOLOV4),
    **dict.fromkeys(("yolov3-tiny", "yolov4-tiny"), _TINY),
    **dict.fromkeys(CLASSIFIERS, ("backbone", "predict")),
}
USUAL_CLASSES = (20, 80, 1000)  # VOC, COCO, ImageNet


class FileSize(NamedTuple):
    """How many floats a variant's file has: `base` + `per_class` for each class."""

    base: int
    per_class: int

    def floats(self, num_classes: int) -> int:
        """Count the floats of a file with `num_classes`."""
        return self.base + self.per_class * num_classes

    def num_classes(self, floats: int) -> int | None:
        """Return the class count that makes a file of `floats`, if there is one."""
        classes, rest = divmod(floats - self.base, self.per_class)
        return classes if rest == 0 and classes > 0 else None


@overload
def from_darknet(  # type: ignore[overload-overlap]  # names of classifiers are no detector's
    variant: Literal["darknet19", "darknet53"], path: str | Path, *, num_classes: int | None = None
) -> Classifier: ...
@overload
def from_darknet(
    variant: str,
    path: str | Path,
    *,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    cfg: str | Path | None = None,
) -> Detector: ...
def from_darknet(
    variant: str,
    path: str | Path,
    *,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    cfg: str | Path | None = None,
) -> Detector | Classifier:
    """Build `variant` with the numbers of a `.weights` file; returned in evaluation mode.

    The class count is that of `class_names`, `num_classes` or the `cfg`, or else it follows from the size of the file.
    A `cfg` also gives anchors and input size. Raises LineageError if the file is not one of Darknet's, if its size is
    not the variant's, or if the cfg is of another network.
    """
    if variant not in ORDERS:
        family = registry.family_of(variant)  # raises for a name that nothing has
        raise LineageError(f"expected one of {', '.join(ORDERS)}; {variant} ({family}) has no `.weights` files")
    _, numbers = read_weights(path)
    told = None if cfg is None else detections(read_cfg(cfg))
    named = None if class_names is None else len(class_names)
    wanted = _wanted(num_classes, named, None if told is None else told.num_classes)
    model = _build(variant, _class_count(variant, numbers.size, wanted), class_names)
    fill(tensors(model, ORDERS[variant]), numbers)
    if told is not None and isinstance(model, Detector):
        _follow(model, told)
    return model.eval()


def start_backbone(detector: Detector, path: str | Path) -> None:
    """Fill the detector's backbone from pre-training, in place.

    The file is a classifier's of that backbone, with any number of classes, or one cut off where the backbone ends
    (such as Darknet-53's first 74 layers). Raises LineageError if its size is neither.
    """
    _, numbers = read_weights(path)
    targets = list(tensors(detector, ("backbone",)))
    needed, per_class = count(targets), len(targets[-1]) + 1
    if numbers.size < needed or (numbers.size - needed) % per_class:
        raise LineageError(
            f"{path}: expected {needed:,} floats for the backbone of {detector.variant}, and {per_class:,} more for "
            f"each class of a classifier; the file has {numbers.size:,}: it is of another network, or cut off"
        )
    fill(targets, numbers)


def recognize(path: str | Path) -> Recognition:
    """Tell the variant of a `.weights` file by its size, and among equals by its name; LineageError if none fits.

    Networks that differ in anchors or preprocessing alone cannot be told apart by their files.
    """
    _, numbers = read_weights(path)
    found = fitting(numbers.size)
    if not found:
        raise LineageError(
            f"{path}: expected the weights of a known network; none has a file of {numbers.size:,} floats"
        )
    named = next((variant for variant, _ in found if variant == Path(path).stem), None)
    variant, classes = next((fit for fit in found if fit[0] == named), found[0])
    others = ", ".join(name for name, _ in found if name != variant)
    told = f"{numbers.size:,} floats make {classes} classes" + (f"; so do they for {others}" if others else "")
    return Recognition(variant, told + (f"; chosen by the name {Path(path).name}" if named and others else ""))


def fitting(floats: int) -> list[tuple[str, int]]:
    """List the variants, with class counts, whose files have `floats` numbers; usual class counts first."""
    fits = [(variant, file_size(variant).num_classes(floats)) for variant in ORDERS if not variant.endswith("-test")]
    found = [(variant, classes) for variant, classes in fits if classes is not None]
    return sorted(found, key=lambda fit: fit[1] not in USUAL_CLASSES)


@functools.cache
def file_size(variant: str) -> FileSize:
    """Return how the number of floats of a variant's file depends on its classes."""
    one, two = (count(tensors(_shapes(variant, classes), ORDERS[variant])) for classes in (1, 2))
    return FileSize(2 * one - two, two - one)


def _build(variant: str, num_classes: int, class_names: Sequence[str] | None = None) -> Detector | Classifier:
    if variant in CLASSIFIERS:
        return build_classifier(variant, num_classes)
    return registry.build(variant, num_classes, class_names)


def _shapes(variant: str, num_classes: int) -> Detector | Classifier:
    """Build `variant` without numbers, in no time."""
    with torch.device("meta"):
        return _build(variant, num_classes)


def _wanted(*told: int | None) -> int | None:
    """Return the class count that was told, if any; LineageError if several disagree."""
    counts = {count for count in told if count is not None}
    if len(counts) > 1:
        raise LineageError(f"expected num_classes, class_names and cfg to agree; got {sorted(counts)} classes")
    return counts.pop() if counts else None


def _class_count(variant: str, floats: int, wanted: int | None) -> int:
    """Check the size of the file against the wanted class count, or find the count it has."""
    size = file_size(variant)
    classes = size.num_classes(floats)
    if classes is not None and wanted in (None, classes):
        return classes
    usual = ", ".join(f"{size.floats(n):,} with {n} classes" for n in (USUAL_CLASSES if wanted is None else (wanted,)))
    raise LineageError(f"expected the floats of {variant} ({usual}); the file has {floats:,}; {_hint(floats)}")


def _hint(floats: int) -> str:
    found = [f"{name} with {classes} classes" for name, classes in fitting(floats)]
    return f"that makes {' or '.join(found)}" if found else "it is of another network, or cut off"


def _follow(detector: Detector, told: Detections) -> None:
    """Take anchors and input size from a cfg, whose levels are in the order of the file."""
    order = [int(path[-1]) for path in ORDERS[detector.variant] if path.startswith("head.predict.")] or [0]
    if len(told.anchors) != len(order):
        raise LineageError(
            f"expected the cfg of {detector.variant}, with {len(order)} detection layers; it has {len(told.anchors)}"
        )
    if isinstance(detector.head, AnchorHead):
        by_stride = [told.anchors[order.index(level)] for level in range(len(order))]
        _set_anchors(detector.head, by_stride, told.in_cells)
    detector.resize(told.size)


def _set_anchors(head: AnchorHead, anchors: Sequence[Anchors], in_cells: bool) -> None:
    each = head.anchors.shape[1]
    if any(len(level) != each for level in anchors):
        raise LineageError(f"expected a cfg with {each} anchors per level; it has {[len(a) for a in anchors]}")
    units = torch.tensor(head.strides if in_cells else [1] * len(anchors))
    head.anchors = torch.tensor(anchors) * units[:, None, None]
