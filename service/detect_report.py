"""What `lineage detect` prints: a table for people, the document of POST /detect for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_zoo.contract.detections import Detections
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package


@dataclass(frozen=True)
class Found:
    """What was found on an image of a size (height, width)."""

    path: Path
    size: Size
    detections: Detections


@dataclass(frozen=True)
class Failed:
    """Why an image could not be used."""

    path: Path
    reason: str


def table(found: Iterable[Found], names: Sequence[str]) -> Iterator[str]:
    """Give one line per image and one per object, as they come; the columns stand under one header."""
    width = max(map(len, names))
    yield f"  {'label':<{width}}  score     left      top    right   bottom"
    for one in found:
        height, image_width = one.size
        yield f"{one.path}  {image_width} x {height}  {_count(len(one.detections))}"
        for entry in one.detections.to_dict(names):
            corners = "".join(f"{v:9.1f}" for v in entry["box"])
            yield f"  {entry['label']:<{width}}  {entry['score']:5.2f}{corners}"


def document(package: Package, found: Iterable[Found], milliseconds: float) -> dict[str, Any]:
    """Make the document that POST /detect answers; a loose model file has no version."""
    return {
        "model": {"name": package.name, "version": package.version or None},
        "results": [_result(one, package.card.class_names) for one in found],
        "timing_ms": {"total": round(milliseconds, 3)},
    }


def _result(found: Found, names: Sequence[str]) -> dict[str, Any]:
    height, width = found.size
    return {
        "file": str(found.path),
        "image": {"width": width, "height": height},
        "detections": found.detections.to_dict(names),
    }


def _count(number: int) -> str:
    return "1 object" if number == 1 else f"{number or 'no'} objects"
