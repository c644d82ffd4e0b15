"""Size of every variant of YOLOv2, and its input."""

from __future__ import annotations

import pytest

from model_zoo.registry import variants
from tests.model_zoo.families.darknet_variants import check_conventions, check_size, on_meta

# Published: parameters, and 1e9 operations at the variant's size.
PUBLISHED = {
    "yolov2": (50_962_889, 62.94),
    "yolov2-voc": (50_655_389, 29.36),
    "yolov2-tiny": (11_232_057, 5.41),
    "yolov2-tiny-voc": (15_861_773, 6.97),
}


def test_published_sizes_cover_all_variants() -> None:
    assert {*PUBLISHED, "yolov2-test"} == set(variants("yolov2"))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameters_and_gflops_match_published_ones(variant: str) -> None:
    check_size(variant, *PUBLISHED[variant])


@pytest.mark.parametrize("variant", PUBLISHED)
def test_conventions_of_darknet(variant: str) -> None:
    check_conventions(variant)


def test_letterbox() -> None:
    assert on_meta("yolov2").input_spec.letterbox.align == "stretch"
