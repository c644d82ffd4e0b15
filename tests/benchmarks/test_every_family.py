"""Full-size models export, agree with torch on an image, and build as plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.every_family import VARIANTS, measure
from model_zoo.registry import families, family_of


def test_every_generation_is_measured() -> None:
    assert {family_of(variant) for variant in VARIANTS} == set(families())


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["yolov2", "yolov5s"])
def test_full_size_model_exports_agrees_and_builds(variant: str, shared: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux only")
    row = measure(variant, shared / "data" / "coco_mini" / "images" / "000000000009.jpg", "8.9")
    assert row.outcome == "ok"
    assert 0 < row.score_difference < 1e-4
    assert 0 < row.box_difference < 1e-4
    assert row.fp16_file_mb < 0.6 * row.file_mb
    assert row.plan_mb > row.fp16_file_mb
