"""Registry of all variants by name, filled by the modules of `model_zoo.families`.

detector = build("yolov5n")                                  # 80 COCO classes
detector = build("yolov5s", class_names=["ant", "bee"])      # two custom classes
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from model_zoo.class_names import COCO_NAMES
from model_zoo.contract.errors import LineageError
from model_zoo.contract.suggest import did_you_mean
from model_zoo.detector import Detector

Builder = Callable[..., Detector]  # (variant, class_names, and the builder's integer options)


@dataclass(frozen=True)
class Family:
    """A generation of YOLO, declared by its module in `model_zoo.families`."""

    name: str
    """Name, as in model cards."""
    year: int
    """Year of its first paper or release."""
    summary: str
    """The generation in one sentence, with year and paper."""
    changes: str
    """Changes since the previous generation, empty for the first one."""


@dataclass(frozen=True)
class VariantEntry:
    """A registered variant."""

    family: Family
    """Family of the variant."""
    builder: Builder
    """Builds the detector."""
    class_names: Sequence[str]
    """Classes by default: those of the official weights."""


_VARIANTS: dict[str, VariantEntry] = {}


def register(
    family: Family, names: Iterable[str], class_names: Sequence[str] = COCO_NAMES
) -> Callable[[Builder], Builder]:
    """Register the decorated builder for the variants `names` of `family`."""

    def decorate(builder: Builder) -> Builder:
        for name in names:
            if name in _VARIANTS:
                raise RuntimeError(f"two families register the variant {name!r}")
            _VARIANTS[name] = VariantEntry(family, builder, tuple(class_names))
        return builder

    return decorate


def build(
    variant: str,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    options: Mapping[str, int] | None = None,
) -> Detector:
    """Build a detector with random weights.

    Args:
        variant: Name of a registered variant.
        num_classes: Number of unnamed classes. If omitted, the classes of the official weights.
        class_names: Names of the classes.
        options: Options of the variant's builder, such as YOLOv6's `bins`, stored in the detector.

    Raises:
        LineageError: The variant or an option is unknown, or `num_classes` and `class_names` disagree.
    """
    entry, options = _entry(variant), dict(options or {})
    known = list(inspect.signature(entry.builder).parameters)[2:]
    if not options.keys() <= set(known):
        raise LineageError(f"{variant}: expected options among {', '.join(known) or 'none'}; got {', '.join(options)}")
    detector = entry.builder(variant, _names(entry, num_classes, class_names), **options)
    detector.options = options
    return detector


def variants(family: str | None = None) -> tuple[str, ...]:
    """Return the registered variants, of one family or of all."""
    return tuple(name for name, entry in _entries().items() if family in (None, entry.family.name))


def families() -> tuple[str, ...]:
    """Return the families, oldest first."""
    return tuple(dict.fromkeys(entry.family.name for entry in _entries().values()))


def family_of(variant: str) -> str:
    """Return the name of the family of a variant.

    Raises:
        LineageError: The variant is unknown.
    """
    return _entry(variant).family.name


def describe_family(name: str) -> Family:
    """Return a family by name.

    Raises:
        LineageError: The family is unknown.
    """
    known = {entry.family.name: entry.family for entry in _entries().values()}
    if name not in known:
        raise LineageError(f"expected the name of a family; got {name!r}; known: {', '.join(known)}")
    return known[name]


def _entries() -> dict[str, VariantEntry]:
    import_module("model_zoo.families")  # not at the top: families import `register` from this module
    return _VARIANTS


def _entry(variant: str) -> VariantEntry:
    entries = _entries()
    if variant in entries:
        return entries[variant]
    hint = did_you_mean(variant, entries) or f"known: {', '.join(entries)}"
    raise LineageError(f"expected the name of a model variant; got {variant!r}; {hint}")


def _names(entry: VariantEntry, count: int | None, names: Sequence[str] | None) -> Sequence[str]:
    if names is None:
        return _default_names(entry, len(entry.class_names) if count is None else count)
    if count not in (None, len(names)):
        raise LineageError(f"expected num_classes and class_names to agree; got {count} and {len(names)} names")
    if not names:
        raise LineageError("expected at least one class; got an empty list of class names")
    return names


def _default_names(entry: VariantEntry, count: int) -> Sequence[str]:
    if count < 1:
        raise LineageError(f"expected num_classes of at least 1; got {count}")
    return entry.class_names if count == len(entry.class_names) else [f"class{i}" for i in range(count)]
