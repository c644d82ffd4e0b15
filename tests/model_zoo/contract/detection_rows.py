"""Detections written as rows."""

from __future__ import annotations

import numpy as np

from model_zoo.contract.detections import Detections

NAMES = ("cat", "dog")
Row = tuple[float, float, float, float, float, int]
CAT: Row = (0, 0, 100, 100, 0.9, 0)


def detections(*rows: Row) -> Detections:
    table = np.array(rows, dtype=np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))
