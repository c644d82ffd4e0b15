"""What `lineage detect` prints: a table for people, the document of POST /detect for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_zoo.contract.detections import Detections
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package


@dataclass(frozen=True)
class Found:
    """What was found on an image of a size (height, width), and the seconds it took to decode and infer."""

    path: Path
    size: Size
    detections: Detections
    decode: float
    infer: float


@dataclass(frozen=True)
class Failed:
    """Why an image could not be used."""

    path: Path
    reason: str


def table_head(names: Sequence[str]) -> str:
    """Return the header under which the columns of every object stand."""
    return f"  {'label':<{_width(names)}}  score     left      top    right   bottom"


def table_lines(found: Found, names: Sequence[str]) -> list[str]:
    """List one line for the image and one for each object."""
    height, width = found.size
    lines = [f"{found.path}  {width} x {height}  {_count(len(found.detections))}"]
    for entry in found.detections.to_dict(names):
        corners = "".join(f"{v:9.1f}" for v in entry["box"])
        lines.append(f"  {entry['label']:<{_width(names)}}  {entry['score']:5.2f}{corners}")
    return lines


def document(package: Package, outcomes: Sequence[Found | Failed], total: float) -> dict[str, Any]:
    """Make the document that POST /detect answers; `total` is in seconds."""
    found = [outcome for outcome in outcomes if isinstance(outcome, Found)]
    decode, infer = (max(times, default=0.0) for times in ([f.decode for f in found], [f.infer for f in found]))
    seconds = {"decode": decode, "queue": 0.0, "infer": infer, "total": total}
    return {
        "model": {"name": package.name, "version": package.version},
        "results": [{"file": str(o.path)} | _result(o, package.card.class_names) for o in outcomes],
        "timing_ms": {stage: round(1000 * value, 3) for stage, value in seconds.items()},
    }


def _result(outcome: Found | Failed, names: Sequence[str]) -> dict[str, Any]:
    if isinstance(outcome, Failed):
        return {"error": {"detail": outcome.reason}}
    height, width = outcome.size
    return {"image": {"width": width, "height": height}, "detections": outcome.detections.to_dict(names)}


def _width(names: Sequence[str]) -> int:
    return max(len("label"), *map(len, names))


def _count(number: int) -> str:
    return "1 object" if number == 1 else f"{number or 'no'} objects"
