"""Size of every variant of YOLOv3, and its input."""

from __future__ import annotations

import pytest

from model_zoo.registry import variants
from tests.model_zoo.families.darknet_variants import check_conventions, check_size, on_meta

# Published: parameters, and 1e9 operations at the variant's size.
PUBLISHED = {
    "yolov3": (61_949_149, 140.71),
    "yolov3-mmdet": (61_949_149, 140.71),
    "yolov3-voc": (61_626_049, 65.43),
    "yolov3-spp": (62_998_749, 141.47),
    "yolov3-tiny": (8_852_366, 5.57),
}


def test_published_sizes_cover_all_variants() -> None:
    assert {*PUBLISHED, "yolov3-test"} == set(variants("yolov3"))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameters_and_gflops_match_published_ones(variant: str) -> None:
    check_size(variant, *PUBLISHED[variant])


@pytest.mark.parametrize("variant", PUBLISHED)
def test_conventions_of_darknet(variant: str) -> None:
    check_conventions(variant)


def test_letterbox() -> None:
    assert on_meta("yolov3-tiny").input_spec.letterbox.align == "center"
    assert on_meta("yolov3-mmdet").input_spec.letterbox.align == "top_left"
