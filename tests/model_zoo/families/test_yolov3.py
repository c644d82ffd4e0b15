"""Size of every variant of YOLOv3, and its input."""

from __future__ import annotations

import pytest
import torch

from model_zoo.class_names import COCO_NAMES, VOC_NAMES
from model_zoo.profile import profile
from model_zoo.registry import build, variants

# Published: parameters, and 1e9 operations at the variant's size as Darknet prints them, rounded layer by layer.
PUBLISHED = {
    "yolov3": (61_949_149, 140.71),
    "yolov3-mmdet": (61_949_149, 140.71),
    "yolov3-voc": (61_626_049, 65.43),
    "yolov3-spp": (62_998_749, 141.47),
    "yolov3-tiny": (8_852_366, 5.57),
}


def on_meta(variant: str):
    with torch.device("meta"):
        return build(variant)


def test_published_sizes_cover_all_variants() -> None:
    assert {*PUBLISHED, "yolov3-test"} == set(variants("yolov3"))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameters_and_gflops_match_published_ones(variant: str) -> None:
    params, gflops = PUBLISHED[variant]
    detector = on_meta(variant)
    measured = profile(detector)
    assert measured.params == params
    assert measured.gflops == pytest.approx(gflops, abs=0.03)
    normalized = sum(m.num_features for m in detector.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert profile(detector.deploy()).params == params - normalized


@pytest.mark.parametrize("variant", PUBLISHED)
def test_batch_norm_has_eps_of_darknet(variant: str) -> None:
    assert {m.eps for m in on_meta(variant).modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-5}


def test_class_names() -> None:
    for variant in PUBLISHED:
        assert on_meta(variant).class_names == (VOC_NAMES if variant.endswith("-voc") else COCO_NAMES)


def test_letterbox() -> None:
    assert on_meta("yolov3-tiny").input_spec.letterbox.align == "center"
    assert on_meta("yolov3-mmdet").input_spec.letterbox.align == "top_left"
