"""Identify the variant and class count of a `.weights` file by the number of floats in it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import torch

from model_zoo import registry
from model_zoo.classifier import CLASSIFIERS, build_classifier
from model_zoo.contract.errors import LineageError
from model_zoo.weights.importers.darknet.layer_orders import LAYER_ORDERS
from model_zoo.weights.importers.darknet.weights_file import count_floats, read_weights, tensors
from model_zoo.weights.importers.identification import Identification

COMMON_CLASS_COUNTS = (20, 80, 1000)  # VOC, COCO, ImageNet


class FileSize(NamedTuple):
    """Number of floats in a variant's file, as a function of the class count."""

    base: int
    """Floats that do not depend on the class count."""
    per_class: int
    """Floats added by each class."""

    def floats(self, num_classes: int) -> int:
        """Return the number of floats in a file with `num_classes`."""
        return self.base + self.per_class * num_classes

    def num_classes(self, floats: int) -> int | None:
        """Return the class count of a file of `floats`, or None if no class count gives that size."""
        classes, rest = divmod(floats - self.base, self.per_class)
        return classes if rest == 0 and classes > 0 else None


def identify(path: str | Path) -> Identification:
    """Identify the variant of a `.weights` file by size. The file name breaks ties.

    Networks that differ only in anchors or preprocessing have files of equal size.

    Raises:
        LineageError: No variant has a file of this size.
    """
    _, numbers = read_weights(path)
    matches = matching_variants(numbers.size)
    if not matches:
        raise LineageError(
            f"{path}: expected the weights of a known network; no variant has a file of {numbers.size:,} floats. For "
            "another network, import it with its cfg"
        )
    name_match = next((variant for variant, _ in matches if variant == Path(path).stem), None)
    variant, classes = next((match for match in matches if match[0] == name_match), matches[0])
    others = ", ".join(name for name, _ in matches if name != variant)
    reason = f"{numbers.size:,} floats match {classes} classes" + (f", as in {others}" if others else "")
    return Identification(
        variant, reason + (f"; chosen by the file name {Path(path).name}" * bool(name_match and others))
    )


def matching_variants(floats: int) -> list[tuple[str, int]]:
    """List (variant, class count) of files with `floats` numbers, common class counts first."""
    sizes = [
        (variant, file_size(variant).num_classes(floats)) for variant in LAYER_ORDERS if not variant.endswith("-test")
    ]
    matches = [(variant, classes) for variant, classes in sizes if classes is not None]
    return sorted(matches, key=lambda match: match[1] not in COMMON_CLASS_COUNTS)


@functools.cache
def file_size(variant: str) -> FileSize:
    """Return the size of a variant's file as a function of its class count."""
    one, two = (_count(variant, num_classes) for num_classes in (1, 2))
    return FileSize(2 * one - two, two - one)


def _count(variant: str, num_classes: int) -> int:
    with torch.device("meta"):
        build = build_classifier if variant in CLASSIFIERS else registry.build
        return count_floats(tensors(build(variant, num_classes), LAYER_ORDERS[variant]))
