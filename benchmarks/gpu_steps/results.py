"""Options of the steps of `benchmarks.gpu`, and the rows that they write."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

ROWS: Final = "rows.jsonl"
CHUNKS: Final = 5
Size = tuple[int, int]  # height, width


class CouldNotRun(Exception):
    """Something that a step needs is missing on this machine."""


@dataclass(frozen=True)
class Options:
    """Options of a run, the same for all of its steps."""

    output: str
    """Folder of the results."""
    device: str = "cuda"
    """Device: cuda or cpu."""
    model: str = "yolov5n"
    """Variant to measure."""
    data: str | None = None
    """Dataset to train on. Without one, images and objects are random."""
    quick: bool = False
    """Use a tiny network and few sizes."""

    @property
    def sizes(self) -> list[Size]:
        """Canvases (height, width)."""
        return [(64, 64)] if self.quick else [(640, 640), (384, 640), (480, 640)]

    @property
    def batches(self) -> list[int]:
        """Images per batch."""
        return [1, 2] if self.quick else [1, 2, 4, 8, 16, 32, 64]

    @property
    def seconds(self) -> float:
        """Length of one measurement."""
        return 0.05 if self.quick else 0.4

    @property
    def folder(self) -> Path:
        """Folder of the results."""
        return Path(self.output)


@dataclass(frozen=True)
class Row:
    """One figure."""

    step: str
    """Step that measured it."""
    subject: str
    """Configuration that was measured."""
    height: int = 0
    """Height of the canvas."""
    width: int = 0
    """Width of the canvas."""
    batch: int = 0
    """Images per batch."""
    images_per_second: float = 0.0
    """Throughput."""
    milliseconds: float = 0.0
    """Time of one batch or request."""
    note: str = ""
    """Difference from the reference, and other remarks."""


def write_row(options: Options, row: Row) -> None:
    """Append a row to the results at once, so that a step that is stopped keeps those it has."""
    print(row, flush=True)
    with (options.folder / ROWS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(row)) + "\n")


def read_rows(folder: Path) -> Iterator[Row]:
    """Yield the rows that the steps wrote."""
    path = folder / ROWS
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        yield Row(**json.loads(line))


def seconds_per_run(run: Callable[[], object], seconds: float, wait: Callable[[], object] = bool) -> float:
    """Return the seconds of a run: the median of a few chunks of runs, after a warm-up.

    Args:
        run: What to measure. It may return before the device has finished.
        seconds: Length of the measurement.
        wait: Waits for the device.
    """
    for _ in range(2):
        run()
    wait()
    start = time.perf_counter()
    run()
    wait()
    runs = max(round(seconds / CHUNKS / max(time.perf_counter() - start, 1e-6)), 1)
    return median(_chunk(run, runs, wait) for _ in range(CHUNKS))


def _chunk(run: Callable[[], object], runs: int, wait: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(runs):
        run()
    wait()
    return (time.perf_counter() - start) / runs
