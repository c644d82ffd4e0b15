"""Size and work of every variant of YOLOv2 and YOLOv3, and what their networks see."""

from __future__ import annotations

import pytest
import torch

from model_zoo.class_names import COCO_NAMES, VOC_NAMES
from model_zoo.profile import profile
from model_zoo.registry import build, variants

# Published: parameters, and 1e9 operations at the variant's size as Darknet prints them, rounded layer by layer.
PUBLISHED = {
    "yolov2": (50_962_889, 62.94),
    "yolov2-voc": (50_655_389, 29.36),
    "yolov2-tiny": (11_232_057, 5.41),
    "yolov2-tiny-voc": (15_861_773, 6.97),
    "yolov3": (61_949_149, 140.71),
    "yolov3-mmdet": (61_949_149, 140.71),
    "yolov3-voc": (61_626_049, 65.43),
    "yolov3-spp": (62_998_749, 141.47),
    "yolov3-tiny": (8_852_366, 5.57),
}


def on_meta(variant: str):
    with torch.device("meta"):
        return build(variant)


def test_no_variant_goes_uncounted() -> None:
    listed = {*variants("yolov2"), *variants("yolov3")}
    assert {*PUBLISHED, "yolov2-test", "yolov3-test"} == listed


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameters_and_gflops_are_the_published_ones(variant: str) -> None:
    params, gflops = PUBLISHED[variant]
    detector = on_meta(variant)
    found = profile(detector)
    assert found.params == params
    assert found.gflops == pytest.approx(gflops, abs=0.03)
    normalized = sum(m.num_features for m in detector.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert profile(detector.deploy()).params == params - normalized


@pytest.mark.parametrize("variant", PUBLISHED)
def test_batch_norm_has_darknets_eps(variant: str) -> None:
    assert {m.eps for m in on_meta(variant).modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-5}


def test_voc_variants_know_vocs_classes() -> None:
    for variant in PUBLISHED:
        assert on_meta(variant).class_names == (VOC_NAMES if variant.endswith("-voc") else COCO_NAMES)


def test_images_are_stretched_for_v2_and_letterboxed_for_v3() -> None:
    assert on_meta("yolov2").input_spec.letterbox.align == "stretch"
    assert on_meta("yolov3-tiny").input_spec.letterbox.align == "center"
    assert on_meta("yolov3-mmdet").input_spec.letterbox.align == "top_left"
