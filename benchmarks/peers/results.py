"""Rows of all rounds, their medians, and the table and plot made of these."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from benchmarks.peers.scenarios import OPEN_LOOP, Row
from benchmarks.peers.subjects import ROOT

RESULTS: Final = ROOT / "benchmarks" / "results"
NUMBERS: Final = [field.name for field in fields(Row) if field.type in ("float", "int")]
OURS: Final = "lineage"


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    title: str
    """Title of it."""
    scenario: str
    """Scenario, or empty for the largest value of all."""
    measure: str
    """Field of the row."""
    digits: int = 0
    """Digits after the point."""

    @property
    def more_is_better(self) -> bool:
        """Whether the best value is the largest."""
        return self.measure == "per_second"


COLUMNS: Final = (
    Column("1280x720, 1 connection: p50 ms", "1280x720 x1", "p50_ms"),
    Column("with busy neighbors: p50 ms", "busy x1", "p50_ms"),
    Column("8 connections: images/s", "1280x720 x8", "per_second", 1),
    Column("CPU ms", "1280x720 x8", "cpu_ms", 1),
    Column("32 connections: images/s", "1280x720 x32", "per_second", 1),
    Column("CPU ms", "1280x720 x32", "cpu_ms", 1),
    Column("at 70 % load: p50 ms", OPEN_LOOP, "p50_ms"),
    Column("p99 ms", OPEN_LOOP, "p99_ms"),
    Column("640x480, 1 connection: p50 ms", "640x480 x1", "p50_ms"),
    Column("8 connections: images/s", "640x480 x8", "per_second", 1),
    Column("CPU ms", "640x480 x8", "cpu_ms", 1),
    Column("32 connections: images/s", "640x480 x32", "per_second", 1),
    Column("CPU ms", "640x480 x32", "cpu_ms", 1),
    Column("4000x3000, 8 connections: images/s", "4000x3000 x8", "per_second", 1),
    Column("CPU ms", "4000x3000 x8", "cpu_ms", 1),
    Column("MB", "", "pss_mb"),
    Column("RSS MB", "", "rss_mb"),
    Column("start s", "", "cold_start_s", 1),
)


def append(path: Path, row: Row) -> None:
    """Add a row to a CSV file."""
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        if new:
            out.writeheader()
        out.writerow(
            {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(row).items()}
        )


def read(path: Path) -> list[Row]:
    """Return all rows of a CSV file, none without it."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [_row(record) for record in csv.DictReader(file)]


def _row(record: dict[str, str]) -> Row:
    numbers = {name: float(record[name]) for name in NUMBERS}
    return Row(**(record | numbers))  # type: ignore[arg-type]  # the fields that are no numbers are text


def medians(rows: Sequence[Row]) -> list[Row]:
    """Return the median of each figure per server and scenario."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.subject, row.scenario), []).append(row)
    return [_median(group) for group in groups.values()]


def _median(group: Sequence[Row]) -> Row:
    numbers = {name: statistics.median(getattr(row, name) for row in group) for name in NUMBERS}
    return Row(**(asdict(group[-1]) | numbers))


def best_peer_capacity(rows: Sequence[Row], size: str) -> float:
    """Return the answers per second that the best peer reaches with 8 or 32 connections.

    Raises:
        SystemExit: No closed loop was measured before.
    """
    closed = [row for row in medians(rows) if row.scenario in (f"{size} x8", f"{size} x32") and not is_ours(row)]
    if not closed:
        raise SystemExit(f"measure the peers with {size} first: the open loop is a share of the best one's capacity")
    return max(row.per_second for row in closed)


def is_ours(row: Row) -> bool:
    """Return whether a row is of this project."""
    return row.subject.startswith(OURS)


def report(rows: Sequence[Row]) -> None:
    """Write the medians as CSV and plot, and print them as a table. Those of other machines stay in the CSV file."""
    found = medians(rows)
    path = RESULTS / "peers.csv"
    others = [row for row in read(path) if row.cpu not in {row.cpu for row in found}]
    path.unlink(missing_ok=True)
    for row in (*others, *found):
        append(path, row)
    print(markdown(found))
    draw(found, RESULTS / "peers.png")


def markdown(found: Sequence[Row]) -> str:
    """Return a table with a line for each server. Those of this project have ratios to the best peer."""
    subjects = dict.fromkeys((row.subject, row.version) for row in found)
    lines = ["| server | " + " | ".join(column.title for column in COLUMNS) + " |", "| --- " * (len(COLUMNS) + 1) + "|"]
    for subject, version in subjects:
        cells = [_cell(found, subject, column) for column in COLUMNS]
        lines.append(f"| {subject} {version} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: Sequence[Row], subject: str, column: Column) -> str:
    rows = [row for row in found if column.scenario in ("", row.scenario)]
    values = {name: _worst(rows, name, column) for name in dict.fromkeys(row.subject for row in rows)}
    if subject not in values:
        return ""
    peers = [value for name, value in values.items() if not name.startswith(OURS)]
    text = f"{values[subject]:.{column.digits}f}"
    if not peers or not subject.startswith(OURS):
        return text
    return f"{text} ({values[subject] / (max(peers) if column.more_is_better else min(peers)):.2f}x)"


def _worst(rows: Sequence[Row], subject: str, column: Column) -> float:
    return max(float(getattr(row, column.measure)) for row in rows if row.subject == subject)


def draw(found: Sequence[Row], path: Path) -> None:
    """Draw throughput and CPU time with 8 connections, and the median latency with one."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = (
        ("1280x720 x8", "per_second", "images per second"),
        ("1280x720 x8", "cpu_ms", "CPU ms per image"),
        ("1280x720 x1", "p50_ms", "median ms, 1 connection"),
    )
    figure, axes = plt.subplots(1, len(panels), figsize=(11, 3.2), layout="constrained", sharey=True)
    for axis, (scenario, measure, label) in zip(axes, panels, strict=True):
        rows = [row for row in found if row.scenario == scenario][::-1]
        colors = ["#d1495b" if is_ours(row) else "#3b6ea5" for row in rows]
        axis.barh([row.subject for row in rows], [getattr(row, measure) for row in rows], color=colors)
        axis.set(xlabel=label)
    figure.savefig(path, dpi=120)
    plt.close(figure)
