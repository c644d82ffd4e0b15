"""VOC average precision against reference numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training.evaluate.scene import Scene
from training.evaluate.voc import voc_average_precision


@pytest.mark.parametrize(("year", "key"), [("2007", "voc07_ap"), ("2010", "voc10_ap")])
def test_voc_average_precision(scene: Scene, year: str, key: str) -> None:
    rounded = [replace(r, boxes=np.round(r.boxes)) for r in scene.records]
    ap = voc_average_precision(rounded, scene.detections, 4, year)
    np.testing.assert_allclose(ap, scene.reference[key], atol=1e-9)
