"""Parse Darknet's `.cfg` files into sections with options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model_zoo.contract.errors import LineageError

DETECTION = ("yolo", "region", "detection")
MAX_BYTES = 1_000_000  # the longest official cfg has 30 kB
MAX_SECTIONS = 2_000  # the longest official cfg has 300
MAX_INTEGER = 2**20  # of any size, count or index
MAX_SHOWN = 40  # characters of a value in an error message


@dataclass(frozen=True)
class Section:
    """One section of a cfg, such as `[convolutional]`."""

    kind: str
    """Name in brackets: `net`, `convolutional`, ..."""
    path: Path
    """File of the section."""
    line: int
    """Number of the section's first line."""
    options: dict[str, str] = field(default_factory=dict)
    """Values by option name. A repeated option has its last value."""
    lines: dict[str, int] = field(default_factory=dict)
    """Line numbers by option name."""
    conflicting: set[str] = field(default_factory=set)
    """Options repeated with different values."""

    def integer(self, name: str, default: int | None = None, *, minimum: int = 0) -> int:
        """Return an option as an integer.

        Raises:
            LineageError: The option is missing and has no default, or is not an integer in range.
        """
        value = self.number(name, default)
        if value % 1 or not minimum <= value <= MAX_INTEGER:
            raise self.error(f"expected an integer from {minimum} to {MAX_INTEGER} for {name}; got {value:g}", name)
        return int(value)

    def number(self, name: str, default: float | None = None) -> float:
        """Return an option as a number.

        Raises:
            LineageError: The option is missing and has no default, or is not a finite number.
        """
        if name not in self.options and default is not None:
            return default
        return _number(self, name, self.options.get(name, ""))

    def numbers(self, name: str) -> list[float]:
        """Return a list option, empty if missing."""
        return [_number(self, name, part) for part in self.options.get(name, "").split(",") if part]

    def integers(self, name: str) -> list[int]:
        """Return a list option of integers, which may be negative. It is empty if missing."""
        values = self.numbers(name)
        if any(value % 1 or abs(value) > MAX_INTEGER for value in values):
            raise self.error(f"expected integers for {name}; got {self.options[name][:MAX_SHOWN]!r}", name)
        return [int(value) for value in values]

    def require(self, **values: float) -> None:
        """Raise LineageError unless each option has the one supported value."""
        for name, value in values.items():
            if self.number(name, -1) != value:
                raise self.error(f"expected {name}={value:g}, the only supported value", name)

    def error(self, text: str, option: str = "") -> LineageError:
        """Return an error that names file, line and section: the line of the option if given."""
        return LineageError(f"{self.path}: line {self.lines.get(option, self.line)}: [{self.kind[:MAX_SHOWN]}]: {text}")


def _number(section: Section, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise section.error(f"expected a number for {name}; got {text[:MAX_SHOWN]!r}", name)
    return value


Anchors = tuple[tuple[float, float], ...]  # (width, height): pixels in `yolo`, cells in `region`


@dataclass(frozen=True)
class DetectorOptions:
    """Input size, class count and anchors of a cfg."""

    size: tuple[int, int]
    """Input (height, width)."""
    num_classes: int
    """Class count."""
    anchors: tuple[Anchors, ...]
    """Anchors of each level, in the order of the cfg. Empty for `[detection]`."""
    anchors_in_cells: bool
    """True if anchors are in cells, as in `[region]`. Otherwise they are in pixels."""


def read_detector_options(sections: Sequence[Section]) -> DetectorOptions:
    """Read the options of the detection layers.

    Raises:
        LineageError: The cfg has no detection layers, or their class counts differ.
    """
    detections = [section for section in sections if section.kind in DETECTION]
    counts = {section.integer("classes") for section in detections}
    if len(counts) != 1:
        raise sections[0].error(
            f"expected detection layers of one class count; got {len(detections)} layers with {sorted(counts)} classes"
        )
    net = sections[0]
    size = (net.integer("height"), net.integer("width"))
    anchors = tuple(_anchors(section) for section in detections)
    return DetectorOptions(size, counts.pop(), anchors, detections[0].kind == "region")


def _anchors(section: Section) -> Anchors:
    numbers = section.numbers("anchors")
    pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
    indices = section.integers("mask") or range(len(pairs))
    if len(numbers) % 2 or not all(0 <= index < len(pairs) for index in indices):
        raise section.error("expected pairs of anchors, and a mask of indices into them", "mask")
    return tuple(pairs[index] for index in indices)


def read_cfg(path: str | Path) -> list[Section]:
    """Read the sections of a `.cfg` file.

    Raises:
        LineageError: The file cannot be read or parsed; the message names the line.
    """
    return parse_cfg(read_text(path), Path(path))


def parse_cfg(text: str, path: Path) -> list[Section]:
    """Parse the text of a `.cfg` file. Error messages name it `path`.

    Raises:
        LineageError: A line cannot be parsed, or the first section is not `[net]`.
    """
    sections: list[Section] = []
    for number, line in enumerate(text.splitlines(), start=1):
        _read_line(sections, number, "".join(line.split()), path)
    if not sections or sections[0].kind not in ("net", "network"):
        raise LineageError(f"{path}: expected a Darknet cfg, which starts with [net]")
    return sections


def read_text(path: str | Path) -> str:
    """Read a `.cfg` file as text. Comments may have any encoding.

    Raises:
        LineageError: The file cannot be read or is too large.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LineageError(f"{path}: cannot be read ({error})") from error
    if len(data) > MAX_BYTES:
        raise LineageError(f"{path}: expected a Darknet cfg of at most {MAX_BYTES:,} bytes; this file is larger")
    return data.decode("utf-8-sig", errors="replace")


def _read_line(sections: list[Section], number: int, line: str, path: Path) -> None:
    name, separator, value = line.partition("=")
    if not line or line[0] in "#;":
        return
    if len(sections) > MAX_SECTIONS:
        raise LineageError(f"{path}: line {number}: expected at most {MAX_SECTIONS} sections")
    if line.startswith("[") and line.endswith("]") and line.isprintable():
        sections.append(Section(line[1:-1], path, number))
    elif separator and sections and line.isprintable():
        _add_option(sections[-1], number, name, value)
    else:
        raise LineageError(f"{path}: line {number}: expected [section] or option=value; got {line[:MAX_SHOWN]!r}")


def _add_option(section: Section, number: int, name: str, value: str) -> None:
    if section.options.get(name, value) != value:
        section.conflicting.add(name)
    section.options[name], section.lines[name] = value, number
