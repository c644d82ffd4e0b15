"""Options of a detection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import lineage.options
from model_zoo.contract.nms import OverlapMeasure


class Options(lineage.options.Options, total=False):
    """Keyword arguments of a detection. Options that are not given have the defaults of the model."""

    model: str | None


@dataclass(frozen=True)
class Query:
    """Options of a detection. None means the default of the server or of the model."""

    model: str | None = None
    """name, name@version or name@alias."""
    score: float | None = None
    """Min score of a detection, 0 to 1."""
    iou: float | None = None
    """Overlap above which the lower-scored of two detections of one class is dropped, 0 to 1."""
    nms: OverlapMeasure | None = None
    """Overlap measure: diou also uses the distance of the box centers."""
    classes: Sequence[str | int] | None = None
    """Labels or class ids to report."""
    max_detections: int | None = None
    """Max number of detections per image."""

    def params(self) -> list[tuple[str, str]]:
        """Return the query parameters of `POST /detect`."""
        return list(self._params())

    def wanted(self) -> list[str | int]:
        """Return `classes` as a list, of which a string is the only entry."""
        return [self.classes] if isinstance(self.classes, str) else list(self.classes or ())

    def _params(self) -> Iterator[tuple[str, str]]:
        for name in ("model", "score", "iou", "nms", "max_detections"):
            if (value := getattr(self, name)) is not None:
                yield name, str(value)
        for wanted in self.wanted():
            yield "classes", _quoted(wanted) if isinstance(wanted, str) else f"id:{wanted}"


def _quoted(label: str) -> str:
    """Quote a label, as it may contain a comma."""
    return '"' + label.replace('"', '""') + '"'
