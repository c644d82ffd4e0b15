"""Darknet's `.cfg` files: sections in order, each with options as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model_zoo.contract.errors import LineageError

DETECTION = ("yolo", "region", "detection")
MAX_BYTES = 1_000_000  # the longest official cfg has 30 kB
MAX_SECTIONS = 2_000  # the most sections of one are 300
MOST = 2**20  # no size, count or index is larger
SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True)
class Section:
    """One section: its kind (`net`, `convolutional`, ...), file and line it begins at, its options and their lines.

    contested: options that are given more than once, with different values; `options` has the last.
    """

    kind: str
    path: Path
    line: int
    options: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    contested: set[str] = field(default_factory=set)

    def integer(self, name: str, default: int | None = None, *, least: int = 0) -> int:
        """Return an option as a whole number; LineageError if it is absent without default, or no such number."""
        value = self.number(name, default)
        if value % 1 or not least <= value <= MOST:
            raise self.problem(f"expected a whole number from {least} to {MOST} for {name}; got {value:g}", name)
        return int(value)

    def number(self, name: str, default: float | None = None) -> float:
        """Return an option as a number; LineageError if it is absent without default, or no number."""
        if name not in self.options and default is not None:
            return default
        return _number(self, name, self.options.get(name, ""))

    def numbers(self, name: str) -> list[float]:
        """Return an option that is a list; empty if absent."""
        return [_number(self, name, part) for part in self.options.get(name, "").split(",") if part]

    def integers(self, name: str) -> list[int]:
        """Return an option that is a list of whole numbers, which may be negative; empty if absent."""
        values = self.numbers(name)
        if any(value % 1 or abs(value) > MOST for value in values):
            raise self.problem(f"expected whole numbers for {name}; got {self.options[name][:SHOWN]!r}", name)
        return [int(value) for value in values]

    def problem(self, text: str, option: str = "") -> LineageError:
        """Make an error that says where: the line of the option, or of the section."""
        return LineageError(f"{self.path}: line {self.lines.get(option, self.line)}: [{self.kind[:SHOWN]}]: {text}")


def _number(section: Section, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise section.problem(f"expected a number for {name}; got {text[:SHOWN]!r}", name)
    return value


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
        raise sections[0].problem(
            f"expected detection layers of one class count; got {len(ends)} layers: {sorted(counts)}"
        )
    net = sections[0]
    size = (net.integer("height"), net.integer("width"))
    return Detections(size, counts.pop(), tuple(_anchors(section) for section in ends), ends[0].kind == "region")


def _anchors(section: Section) -> Anchors:
    numbers = section.numbers("anchors")
    pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
    chosen = section.integers("mask") or range(len(pairs))
    if len(numbers) % 2 or not all(0 <= index < len(pairs) for index in chosen):
        raise section.problem("expected pairs of anchors, and masks among them", "mask")
    return tuple(pairs[index] for index in chosen)


def read_cfg(path: str | Path) -> list[Section]:
    """Read the sections of a `.cfg` file; LineageError names the line that is not understood."""
    return parse_cfg(read_text(path), Path(path))


def parse_cfg(text: str, path: Path) -> list[Section]:
    """Read the sections of a text that is, or was, in the file `path`; LineageError as `read_cfg` raises it."""
    sections: list[Section] = []
    for number, line in enumerate(text.splitlines(), start=1):
        _read_line(sections, number, "".join(line.split()), path)
    if not sections or sections[0].kind not in ("net", "network"):
        raise LineageError(f"{path}: expected a Darknet cfg, which begins with [net]")
    return sections


def read_text(path: str | Path) -> str:
    """Read a `.cfg` file as text; comments may be of any encoding, what counts is ASCII."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LineageError(f"{path}: cannot be read ({error})") from error
    if len(data) > MAX_BYTES:
        raise LineageError(f"{path}: expected a Darknet cfg, of at most {MAX_BYTES:,} bytes; it has more")
    return data.decode("utf-8-sig", errors="replace")


def _read_line(sections: list[Section], number: int, line: str, path: Path) -> None:
    name, separator, value = line.partition("=")
    if not line or line[0] in "#;":
        return
    if len(sections) > MAX_SECTIONS:
        raise LineageError(f"{path}: line {number}: expected at most {MAX_SECTIONS} sections; there are more")
    if line.startswith("[") and line.endswith("]") and line.isprintable():
        sections.append(Section(line[1:-1], path, number))
    elif separator and sections and line.isprintable():
        _keep(sections[-1], number, name, value)
    else:
        raise LineageError(f"{path}: line {number}: expected [section] or option=value; got {line[:SHOWN]!r}")


def _keep(section: Section, number: int, name: str, value: str) -> None:
    if section.options.get(name, value) != value:
        section.contested.add(name)
    section.options[name], section.lines[name] = value, number
