"""Build known variants from `.weights` files, and load pre-trained backbones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

import torch

from model_zoo import registry
from model_zoo.classifier import CLASSIFIERS, Classifier, build_classifier
from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.heads.anchor import AnchorHead
from model_zoo.weights.importers.darknet.cfg import Anchors, DetectorOptions, read_cfg, read_detector_options
from model_zoo.weights.importers.darknet.file_sizes import COMMON_CLASS_COUNTS, file_size, matching_variants
from model_zoo.weights.importers.darknet.layer_orders import LAYER_ORDERS
from model_zoo.weights.importers.darknet.weights_file import count_floats, fill, read_weights, tensors


@overload
def from_darknet(  # type: ignore[overload-overlap]  # no detector has a classifier's name
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
    """Build `variant` in evaluation mode with the weights of a `.weights` file.

    The class count comes from `class_names`, `num_classes` or the cfg, and otherwise from the file size. A `cfg` also
    sets anchors and input size.

    Raises:
        LineageError: The file is not a Darknet file or has the wrong size, or the cfg belongs to another network.
    """
    if variant not in LAYER_ORDERS:
        family = registry.family_of(variant)  # raises for an unknown name
        raise LineageError(f"expected one of {', '.join(LAYER_ORDERS)}; {variant} ({family}) has no `.weights` files")
    _, numbers = read_weights(path)
    options = None if cfg is None else read_detector_options(read_cfg(cfg))
    requested = _agreed_class_count(
        num_classes,
        None if class_names is None else len(class_names),
        None if options is None else options.num_classes,
    )
    model = _build(variant, _class_count(variant, numbers.size, requested), class_names)
    fill(tensors(model, LAYER_ORDERS[variant]), numbers)
    if options is not None and isinstance(model, Detector):
        _apply_options(model, options)
    return model.eval()


def load_backbone(detector: Detector, path: str | Path) -> None:
    """Load pre-trained weights into the detector's backbone, in place.

    The file belongs to a classifier with this backbone and any class count. It may end where the backbone ends, such
    as the first 74 layers of Darknet-53.

    Raises:
        LineageError: The file has another size.
    """
    _, numbers = read_weights(path)
    targets = list(tensors(detector, ("backbone",)))
    expected, per_class = count_floats(targets), len(targets[-1]) + 1
    if numbers.size < expected or (numbers.size - expected) % per_class:
        raise LineageError(
            f"{path}: expected {expected:,} floats for the backbone of {detector.variant}, plus {per_class:,} for each "
            f"class of a classifier; the file has {numbers.size:,}. It belongs to another network or is truncated"
        )
    fill(targets, numbers)


def _build(variant: str, num_classes: int, class_names: Sequence[str] | None) -> Detector | Classifier:
    if variant in CLASSIFIERS:
        return build_classifier(variant, num_classes)
    return registry.build(variant, num_classes, class_names)


def _agreed_class_count(*counts: int | None) -> int | None:
    given = {count for count in counts if count is not None}
    if len(given) > 1:
        raise LineageError(f"expected num_classes, class_names and cfg to agree; got {sorted(given)} classes")
    return given.pop() if given else None


def _class_count(variant: str, floats: int, requested: int | None) -> int:
    """Check the file size against the requested class count, or derive the count from it."""
    size = file_size(variant)
    classes = size.num_classes(floats)
    if classes is not None and requested in (None, classes):
        return classes
    counts = COMMON_CLASS_COUNTS if requested is None else (requested,)
    expected = ", ".join(f"{size.floats(count):,} with {count} classes" for count in counts)
    raise LineageError(f"expected the floats of {variant} ({expected}); the file has {floats:,}. {_hint(floats)}")


def _hint(floats: int) -> str:
    matches = [f"{name} with {classes} classes" for name, classes in matching_variants(floats)]
    return f"This size matches {' or '.join(matches)}" if matches else "It belongs to another network or is truncated"


def _apply_options(detector: Detector, options: DetectorOptions) -> None:
    """Set anchors and input size from a cfg, whose levels are in the order of the file."""
    order = [int(path[-1]) for path in LAYER_ORDERS[detector.variant] if path.startswith("head.predict.")] or [0]
    if len(options.anchors) != len(order):
        raise LineageError(
            f"expected the cfg of {detector.variant}, with {len(order)} detection layers; it has {len(options.anchors)}"
        )
    if isinstance(detector.head, AnchorHead):
        by_stride = [options.anchors[order.index(level)] for level in range(len(order))]
        _set_anchors(detector.head, by_stride, options.anchors_in_cells)
    detector.resize(options.size)


def _set_anchors(head: AnchorHead, anchors: Sequence[Anchors], in_cells: bool) -> None:
    per_level = head.anchors.shape[1]
    if any(len(level) != per_level for level in anchors):
        raise LineageError(f"expected a cfg with {per_level} anchors per level; it has {[len(a) for a in anchors]}")
    units = torch.tensor(head.strides if in_cells else [1] * len(anchors))
    head.anchors = torch.tensor(anchors) * units[:, None, None]
