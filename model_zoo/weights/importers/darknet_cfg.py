"""Darknet's `.cfg` files: sections in order, each with options as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model_zoo.contract.errors import LineageError

DETECTION = ("yolo", "region", "detection")


@dataclass(frozen=True)
class Section:
    """One section: its kind (`net`, `convolutional`, ...), the line it begins at, and its options."""

    kind: str
    line: int
    options: dict[str, str] = field(default_factory=dict)

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an option as a whole number; LineageError if it is absent without default, or no number."""
        return int(self.number(name, default))

    def number(self, name: str, default: float | None = None) -> float:
        """Return an option as a number; LineageError if it is absent without default, or no number."""
        if name not in self.options and default is not None:
            return default
        return _number(self, name, self.options.get(name, ""))

    def numbers(self, name: str) -> list[float]:
        """Return an option that is a list; empty if absent."""
        return [_number(self, name, part) for part in self.options.get(name, "").split(",") if part]


def _number(section: Section, name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        where = f"[{section.kind}] at line {section.line}"
        raise LineageError(f"cfg: {where}: expected a number for {name}; got {text!r}") from None


Anchors = tuple[tuple[float, float], ...]  # (width, height): pixels in `yolo`, cells in `region`


@dataclass(frozen=True)
class Detections:
    """What a cfg says of a detector besides its layers: input size (height, width), classes, anchors of every level.

    Levels are in the order of the cfg; anchors are in pixels or `in_cells`, and empty in `detection`, which has none.
    """

    size: tuple[int, int]
    num_classes: int
    anchors: tuple[Anchors, ...]
    in_cells: bool


def detections(sections: Sequence[Section]) -> Detections:
    """Read what the detection layers say; LineageError if there are none or they disagree."""
    ends = [section for section in sections if section.kind in DETECTION]
    counts = {section.integer("classes") for section in ends}
    if len(counts) != 1:
        raise LineageError(
            f"cfg: expected detection layers of one class count; got {len(ends)} layers: {sorted(counts)}"
        )
    net = sections[0]
    size = (net.integer("height"), net.integer("width"))
    return Detections(size, counts.pop(), tuple(_anchors(section) for section in ends), ends[0].kind == "region")


def _anchors(section: Section) -> Anchors:
    numbers = section.numbers("anchors")
    pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
    chosen = [int(index) for index in section.numbers("mask")] or range(len(pairs))
    if len(numbers) % 2 or max(chosen, default=-1) >= len(pairs):
        raise LineageError(
            f"cfg: [{section.kind}] at line {section.line}: expected pairs of anchors, and masks among them"
        )
    return tuple(pairs[index] for index in chosen)


def read_cfg(path: str | Path) -> list[Section]:
    """Read the sections of a `.cfg` file; LineageError names the line that is not understood."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LineageError(f"{path}: cannot be read ({error})") from error
    sections: list[Section] = []
    for number, line in enumerate(text.splitlines(), start=1):
        _read_line(sections, number, "".join(line.split()), path)
    if not sections or sections[0].kind not in ("net", "network"):
        raise LineageError(f"{path}: expected a Darknet cfg, which begins with [net]")
    return sections


def _read_line(sections: list[Section], number: int, line: str, path: str | Path) -> None:
    name, separator, value = line.partition("=")
    if not line or line[0] in "#;":
        return
    if line.startswith("[") and line.endswith("]"):
        sections.append(Section(line[1:-1], number))
    elif separator and sections:
        sections[-1].options[name] = value
    else:
        raise LineageError(f"{path}: line {number}: expected [section] or option=value; got {line!r}")
