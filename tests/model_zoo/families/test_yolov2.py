"""Size of every variant of YOLOv2, and its input."""

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
}


def on_meta(variant: str):
    with torch.device("meta"):
        return build(variant)


def test_published_sizes_cover_all_variants() -> None:
    assert {*PUBLISHED, "yolov2-test"} == set(variants("yolov2"))


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
    assert on_meta("yolov2").input_spec.letterbox.align == "stretch"
