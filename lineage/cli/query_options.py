"""Options of the verbs that detect: the model, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from lineage.cli.arguments import option
from lineage.find import find_model
from model_zoo.contract.nms import OverlapMeasure
from service.inference.bundled import REPOSITORY_HELP

if TYPE_CHECKING:
    from model_zoo.contract.package import Package
    from model_zoo.contract.pipeline import Query

CARD_DEFAULT: Final = "(default: the model's own)"


@dataclass(frozen=True)
class QueryOptions:
    """The model, and what it reports."""

    model: Annotated[str | None, option("MODEL", hint="(default: the repository's only model)")] = None
    """NAME, NAME@VERSION or NAME@ALIAS in the repository, or an .onnx file that `lineage export` wrote."""
    repository: Annotated[Path | None, option("FOLDER", hint=REPOSITORY_HELP)] = None
    """Folder of the repository."""
    score: Annotated[float | None, option("NUMBER", hint=CARD_DEFAULT)] = None
    """Min score of a detection, from 0 to 1."""
    iou: Annotated[float | None, option("NUMBER", hint=CARD_DEFAULT)] = None
    """NMS threshold, from 0 to 1. Higher values allow more overlap between boxes."""
    nms: Annotated[OverlapMeasure | None, option(hint=CARD_DEFAULT)] = None
    """Overlap measure of NMS: IoU, or DIoU, which also considers the distance between centers."""
    classes: Annotated[str | None, option("NAMES", hint="(default: all)")] = None
    """Only these classes, by name or index, separated by commas, such as person,car. A name with a comma is quoted:
    '"cup, glass",fork'."""
    max_detections: Annotated[int | None, option("NUMBER", hint=CARD_DEFAULT)] = None
    """Max detections per image."""
    exact_decode: bool = False
    """Decode large JPEGs at full size. Default: reduced, where the model's input needs no more."""

    def resolve(self) -> tuple[Package, Query]:
        """Return the model, and the query for it.

        Raises:
            LineageError: There is no such model, or a value is outside what it allows.
        """
        from model_zoo.contract.class_filter import parse_classes
        from model_zoo.contract.pipeline import make_query

        package = find_model(self.model, self.repository)
        return package, make_query(
            package.card,
            score=self.score,
            iou=self.iou,
            nms=self.nms,
            classes=parse_classes(self.classes) if self.classes else None,
            max_detections=self.max_detections,
        )


MODEL_DEFAULTS: Final = QueryOptions()
