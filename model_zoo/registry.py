"""Every variant of every generation by name: a plain dict, filled by the family pages.

detector = build("yolov5n")                                  # 80 COCO classes
detector = build("yolov5s", class_names=["ant", "bee"])      # two of your own
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

Builder = Callable[..., Detector]  # (variant, class_names), and options of its own as whole numbers


@dataclass(frozen=True)
class Entry:
    """A registered variant: its family, its builder, and the classes it has by default."""

    family: str
    builder: Builder
    class_names: Sequence[str]


_ENTRIES: dict[str, Entry] = {}


def register(
    family: str, names: Iterable[str], class_names: Sequence[str] = COCO_NAMES
) -> Callable[[Builder], Builder]:
    """Register the decorated builder for the variants `names` of `family`."""

    def keep(builder: Builder) -> Builder:
        for name in names:
            if name in _ENTRIES:
                raise RuntimeError(f"two families register the variant {name!r}")
            _ENTRIES[name] = Entry(family, builder, tuple(class_names))
        return builder

    return keep


def build(
    variant: str,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    options: Mapping[str, int] | None = None,
) -> Detector:
    """Build a detector with random weights.

    Classes are those of `class_names`, or `num_classes` unnamed ones, or by default those of the official weights.
    `options` are of the variant's builder, such as YOLOv6's `bins`; the detector remembers them. Raises LineageError if
    the variant or an option is unknown, or the two ways to give classes disagree.
    """
    entry, asked = _entry(variant), dict(options or {})
    offered = list(inspect.signature(entry.builder).parameters)[2:]
    if not asked.keys() <= set(offered):
        raise LineageError(f"{variant}: expected of options {', '.join(offered) or 'none'}; got {', '.join(asked)}")
    detector = entry.builder(variant, _names(entry, num_classes, class_names), **asked)
    detector.options = asked
    return detector


def variants(family: str | None = None) -> tuple[str, ...]:
    """List the registered variants, of one family or of all."""
    return tuple(name for name, entry in _entries().items() if family in (None, entry.family))


def families() -> tuple[str, ...]:
    """List the families, oldest first."""
    return tuple(dict.fromkeys(entry.family for entry in _entries().values()))


def family_of(variant: str) -> str:
    """Return the family of a variant; LineageError if there is no such variant."""
    return _entry(variant).family


def _entries() -> dict[str, Entry]:
    import_module("model_zoo.families")  # here, for the pages import `register` from this module
    return _ENTRIES


def _entry(variant: str) -> Entry:
    entries = _entries()
    if variant in entries:
        return entries[variant]
    hint = did_you_mean(variant, entries) or f"known are {', '.join(entries)}"
    raise LineageError(f"expected the name of a model variant; got {variant!r}; {hint}")


def _names(entry: Entry, count: int | None, names: Sequence[str] | None) -> Sequence[str]:
    if names is None:
        return _default_names(entry, len(entry.class_names) if count is None else count)
    if count not in (None, len(names)):
        raise LineageError(f"expected num_classes and class_names to agree; got {count} and {len(names)} names")
    if not names:
        raise LineageError("expected at least one class; got an empty list of class names")
    return names


def _default_names(entry: Entry, count: int) -> Sequence[str]:
    if count < 1:
        raise LineageError(f"expected num_classes of at least 1; got {count}")
    return entry.class_names if count == len(entry.class_names) else [f"class{i}" for i in range(count)]
