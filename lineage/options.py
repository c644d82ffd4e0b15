"""Options of a detection in this process and by a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from model_zoo.contract.nms import OverlapMeasure


class Options(TypedDict, total=False):
    """Keyword arguments of a detection. Options that are not given have the defaults of the model."""

    score: float | None
    iou: float | None
    nms: OverlapMeasure | None
    classes: Sequence[str | int] | None
    max_detections: int | None
