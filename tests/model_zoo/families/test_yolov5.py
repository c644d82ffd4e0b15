"""Size of every variant of YOLOv5, computed on the meta device."""

from __future__ import annotations

import pytest
import torch

from model_zoo.profile import profile
from model_zoo.registry import build, variants

# Published: parameters of the training form, of the deployed form, GFLOPs of the convolutions at the variant's size.
PUBLISHED = {
    "yolov5n": (1_872_157, 1_867_405, 4.47),
    "yolov5s": (7_235_389, 7_225_885, 16.43),
    "yolov5m": (21_190_557, 21_172_173, 48.87),
    "yolov5l": (46_563_709, 46_533_693, 108.99),
    "yolov5x": (86_749_405, 86_705_005, 205.45),
    "yolov5n6": (3_246_940, 3_239_884, 18.24),
    "yolov5s-focus": (7_276_605, 7_266_973, 16.96),
}
MILLIONS = {  # from the release notes, if no exact number is known
    **{"yolov5s6": 12.6, "yolov5m6": 35.7, "yolov5l6": 76.8, "yolov5x6": 140.7},
    **{"yolov5m-focus": 21.4, "yolov5l-focus": 47.0, "yolov5x-focus": 87.7},
}


def on_meta(variant, num_classes=None):
    with torch.device("meta"):
        return build(variant, num_classes)


def test_published_sizes_cover_all_variants():
    assert {*PUBLISHED, *MILLIONS, "yolov5-test"} == set(variants("yolov5"))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameters_and_gflops_match_published_ones(variant):
    params, deployed_params, gflops = PUBLISHED[variant]
    detector = on_meta(variant)
    training, deployed = profile(detector), profile(detector.deploy())
    assert (training.params, deployed.params) == (params, deployed_params)
    assert (training.gflops, deployed.gflops) == (pytest.approx(gflops, abs=0.006),) * 2


@pytest.mark.parametrize("variant", MILLIONS)
def test_parameters_match_the_release_notes(variant):
    assert profile(on_meta(variant).deploy()).params / 1e6 == pytest.approx(MILLIONS[variant], abs=0.08)


@pytest.mark.parametrize("variant", ["yolov5n", "yolov5n6"])
def test_anchors_and_strides_are_ascending(variant):
    head = build(variant).head
    areas = head.anchors.prod(-1).mean(-1)
    assert areas.tolist() == sorted(areas.tolist())
    assert head.strides == (8, 16, 32, 64)[: len(areas)]


def test_gflops_are_proportional_to_the_area():
    detector = on_meta("yolov5-test")
    assert profile(detector, (320, 640)).gflops == pytest.approx(profile(detector, (640, 640)).gflops / 2)
