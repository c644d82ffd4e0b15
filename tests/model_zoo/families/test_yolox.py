"""Size of every variant of YOLOX, their input and structure."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model_zoo.contract.letterbox import LetterboxPolicy
from model_zoo.families.yolox import YOLOXConfig
from model_zoo.profile import profile
from model_zoo.registry import build, variants

# Published: parameters of the training form, of the deployed form, GFLOPs of the convolutions at the variant's size.
PUBLISHED = {
    "yolox-nano": (912_159, 904_463, 1.045),
    "yolox-tiny": (5_055_855, 5_047_191, 6.41),
    "yolox-s": (8_968_255, 8_956_703, 26.69),
    "yolox-m": (25_326_495, 25_304_847, 73.53),
    "yolox-l": (54_208_895, 54_174_271, 155.29),
    "yolox-x": (99_071_455, 99_020_975, 281.41),
    "yolox-darknet53": (63_724_767, 63_695_903, 184.68),
}
FAST = ("yolox-nano", "yolox-s", "yolox-darknet53")


def on_meta(variant: str):
    with torch.device("meta"):
        return build(variant)


def test_published_sizes_cover_all_variants() -> None:
    assert {*PUBLISHED, "yolox-test"} == set(variants("yolox"))


@pytest.mark.parametrize("variant", [v if v in FAST else pytest.param(v, marks=pytest.mark.slow) for v in PUBLISHED])
def test_parameters_and_gflops_match_published_ones(variant: str) -> None:
    params, deployed_params, gflops = PUBLISHED[variant]
    detector = on_meta(variant)
    training, deployed = profile(detector), profile(detector.deploy())
    assert (training.params, deployed.params) == (params, deployed_params)
    assert (training.gflops, deployed.gflops) == (pytest.approx(gflops, abs=0.006),) * 2


@pytest.mark.parametrize("variant", PUBLISHED)
def test_input_is_bgr_of_full_range_at_the_top_left(variant: str) -> None:
    spec = on_meta(variant).input_spec
    assert (spec.color, spec.scale) == ("BGR", 1.0)
    assert spec.letterbox == LetterboxPolicy(align="top_left", rounding="floor", fill=114, scale_up=True)
    assert spec.size == ((416, 416) if variant in ("yolox-nano", "yolox-tiny") else (640, 640))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_batch_norm_constants(variant: str) -> None:
    norms = [m for m in on_meta(variant).modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.03)}


def test_widths_are_truncated() -> None:
    assert YOLOXConfig(0.33, 0.3).channels(64, 256) == [19, 76]


def test_only_nano_has_depthwise_convolutions() -> None:
    for variant in PUBLISHED:
        spatial = {
            name: m.groups
            for name, m in on_meta(variant).named_modules()
            if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)
        }
        full = [name for name, groups in spatial.items() if groups == 1]
        assert full == (["backbone.stem.conv.conv"] if variant == "yolox-nano" else list(spatial))


def test_darknet53_has_leaky_activations() -> None:
    activations = [m for m in on_meta("yolox-darknet53").modules() if isinstance(m, nn.SiLU | nn.LeakyReLU)]
    assert {repr(m) for m in activations} == {"LeakyReLU(negative_slope=0.1)"}


@torch.inference_mode()
def test_darknet53_has_no_bottom_up_path() -> None:
    detector = build("yolox-darknet53", num_classes=1).eval()
    c3, c4, c5 = detector.backbone(torch.rand(1, 3, 64, 96))
    p3, p4, p5 = detector.neck((c3, c4, c5))
    assert [tuple(p.shape[1:]) for p in (p3, p4, p5)] == [(128, 8, 12), (256, 4, 6), (512, 2, 3)]
    torch.testing.assert_close(p5, detector.neck((0 * c3, 0 * c4, c5))[2], rtol=0, atol=0)
