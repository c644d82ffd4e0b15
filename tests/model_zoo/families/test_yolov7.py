"""Size and structure of every variant of YOLOv7."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model_zoo.blocks.reparam import RepConv
from model_zoo.detector import Detector
from model_zoo.profile import profile
from model_zoo.registry import build, variants

# Published: parameters of the training form, of the deployed form, GFLOPs deployed and in training, at its own size.
PUBLISHED = {
    "yolov7-tiny": (6_228_762, 6_219_709, 13.70, 13.70),
    "yolov7": (37_622_682, 36_905_341, 104.51, 105.77),
    "yolov7x": (71_347_394, 71_311_741, 189.67, 189.67),
    "yolov7-w6": (82_312_436, 70_394_300, 359.72, 420.11),
    "yolov7-e6": (111_898_292, 97_202_940, 514.43, 588.09),
    "yolov7-d6": (154_709_364, 133_757_052, 701.74, 806.06),
    "yolov7-e6e": (166_408_884, 151_687_420, 842.18, 915.85),
}
SIZES = {name: 1280 if name.endswith(("6", "6e")) else 640 for name in PUBLISHED}
FAST = ("yolov7-tiny", "yolov7", "yolov7-w6")


def on_meta(variant: str, num_classes: int | None = None) -> Detector:
    with torch.device("meta"):
        return build(variant, num_classes)


def test_published_sizes_cover_all_variants() -> None:
    assert {*PUBLISHED, "yolov7-test", "yolov7-p6-test"} == set(variants("yolov7"))


@pytest.mark.parametrize("variant", [v if v in FAST else pytest.param(v, marks=pytest.mark.slow) for v in PUBLISHED])
def test_parameters_and_gflops_match_published_ones(variant: str) -> None:
    params, deployed_params, gflops, training_gflops = PUBLISHED[variant]
    detector = on_meta(variant)
    training, deployed = profile(detector), profile(detector.deploy())
    assert detector.input_spec.size == (SIZES[variant], SIZES[variant])
    assert (training.params, deployed.params) == (params, deployed_params)
    assert training.gflops == pytest.approx(training_gflops, abs=0.006)
    assert deployed.gflops == pytest.approx(gflops, abs=0.006)


@pytest.mark.parametrize("variant", PUBLISHED)
def test_activations_and_batch_norm_constants(variant: str) -> None:
    modules = list(on_meta(variant).modules())
    assert {(m.eps, m.momentum) for m in modules if isinstance(m, nn.BatchNorm2d)} == {(1e-3, 0.03)}
    activations = {repr(m) for m in modules if isinstance(m, nn.SiLU | nn.LeakyReLU | nn.ReLU)}
    assert activations == {"LeakyReLU(negative_slope=0.1)" if variant == "yolov7-tiny" else "SiLU()"}


@pytest.mark.parametrize("variant", PUBLISHED)
def test_only_yolov7_has_rep_convs(variant: str) -> None:
    rep_convs = [m for m in on_meta(variant).modules() if isinstance(m, RepConv)]
    assert len(rep_convs) == (3 if variant == "yolov7" else 0)
    assert all(block.identity is None for block in rep_convs)
