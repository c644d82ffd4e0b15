"""Size and structure of every variant of YOLOv6."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from model_zoo.blocks.rep_block import CSPStackRep, RepBlock
from model_zoo.detector import Detector
from model_zoo.heads.efficient import BINS
from model_zoo.profile import profile
from model_zoo.registry import build, variants

# Published: parameters of the training form, of the deployed form, GFLOPs deployed and in training, at its own size.
PUBLISHED = {
    "yolov6n": (4_737_566, 4_317_246, 11.04, 12.15),
    "yolov6t": (16_363_166, 14_970_526, 36.32, 39.90),
    "yolov6s": (18_869_022, 17_220_446, 43.87, 48.29),
    "yolov6m": (37_170_358, 34_286_486, 81.47, 88.73),
    "yolov6l": (58_589_195, 58_541_067, 142.76, 142.76),
    "yolov6l-relu": (63_539_723, 58_541_067, 142.76, 155.80),
    # The deployed original of 0.1.0 has 4,318,015: it does not fold six normalizations with 576 numbers.
    "yolov6n-v1": (4_737_759, 4_317_439, 11.04, 12.15),
    "yolov6n-v3": (5_058_270, 4_646_974, 11.32, 12.37),
    "yolov6s-v3": (20_147_358, 18_537_310, 44.97, 49.18),
    "yolov6m-v3": (37_740_982, 34_855_958, 85.09, 92.35),
    "yolov6l-v3": (59_638_731, 59_607_563, 149.47, 149.47),
    "yolov6n6-v3": (11_239_346, 10_373_970, 49.33, 53.92),
}
# Additional parameters of other forms: 0.1.0 predicts objectness and has no bins, 3.0 adds branches to the head.
ADDITIONAL = {
    **{f"yolov6{size}-v1": (f"yolov6{size}", 64 + 128 + 256 + 3 - 2 * BINS) for size in "ts"},
    **{
        f"yolov6{size}-v3-fuseab": (f"yolov6{size}-v3", 3 * 84 * (3 + channels))
        for size, channels in (("n", 224), ("s", 448), ("m", 672), ("l", 896))
    },
    **{f"yolov6{size}-v3-distill": (f"yolov6{size}-v3", 68 * (3 + c)) for size, c in (("n", 224), ("s", 448))},
}


@functools.cache
def on_meta(variant: str) -> Detector:
    """Return a detector on the meta device, shared by tests, which must not change it."""
    with torch.device("meta"):
        return build(variant).eval()


def test_published_sizes_cover_all_variants() -> None:
    assert {*PUBLISHED, *ADDITIONAL, "yolov6-test", "yolov6-v3-test"} == set(variants("yolov6"))


FAST = ("yolov6n", "yolov6s", "yolov6l", "yolov6n-v3", "yolov6n6-v3")


@pytest.mark.parametrize("variant", [v if v in FAST else pytest.param(v, marks=pytest.mark.slow) for v in PUBLISHED])
def test_parameters_and_gflops_match_published_ones(variant: str) -> None:
    params, deployed_params, gflops, training_gflops = PUBLISHED[variant]
    detector = on_meta(variant)
    training, deployed = profile(detector), profile(detector.deploy())
    assert (training.params, deployed.params) == (params, deployed_params)
    assert training.gflops == pytest.approx(training_gflops, abs=0.006)
    assert deployed.gflops == pytest.approx(gflops, abs=0.006)


@pytest.mark.parametrize("variant", ADDITIONAL)
def test_other_forms_differ_only_in_the_head(variant: str) -> None:
    plain, additional = ADDITIONAL[variant]
    detector = on_meta(variant)
    assert profile(detector).params == PUBLISHED[plain][0] + additional
    if "-v3" in variant:
        added = sum(p.numel() for p in detector.head.added.parameters())
        assert added == additional


@pytest.mark.parametrize("variant", PUBLISHED)
def test_activations_and_batch_norm_constants(variant: str) -> None:
    detector = on_meta(variant)
    norms = {(m.eps, m.momentum) for m in detector.modules() if isinstance(m, nn.BatchNorm2d)}
    assert norms == {(1e-3, 0.03)}
    large = variant in ("yolov6l", "yolov6l-v3")
    assert activations(detector.backbone) == {nn.SiLU if large else nn.ReLU}
    assert activations(detector.neck) == ({nn.SiLU, nn.ReLU} if large else {nn.ReLU})
    assert activations(detector.head) == {nn.SiLU}


def activations(module: nn.Module) -> set[type[nn.Module]]:
    return {type(m) for m in module.modules() if isinstance(m, nn.SiLU | nn.ReLU)}


def test_only_plain_convolutions_of_2_0_have_a_bias() -> None:
    def biased(variant: str) -> set[str]:
        return {key for key in on_meta(variant).backbone.state_dict() if key.endswith("conv.bias")}

    assert {"stem.conv.bias", "down5.conv.bias", "c2.blocks.0.conv1.conv.bias"} <= biased("yolov6l")
    assert not any("c2.conv" in key or "pyramid" in key for key in biased("yolov6l"))
    assert biased("yolov6l-v3") == biased("yolov6l-relu") == biased("yolov6m") == set()


@pytest.mark.parametrize(
    ("variant", "backbone", "neck"),
    [
        ("yolov6n", [2, 4, 6, 2], [4, 4, 4, 4]),
        ("yolov6t", [2, 3, 4, 2], [3, 3, 3, 3]),
        ("yolov6m", [2, 3, 5, 2], [3, 3, 3, 3]),
        ("yolov6l", [3, 6, 9, 3], [6, 6, 6, 6]),
    ],
)
def test_depths_match_published_ones(variant: str, backbone: list[int], neck: list[int]) -> None:
    def depths(part: nn.Module) -> list[int]:
        stages = [m for m in part.modules() if isinstance(m, RepBlock | CSPStackRep)]
        return [len(stage.blocks if isinstance(stage, CSPStackRep) else stage) for stage in stages]

    detector = on_meta(variant)
    assert (depths(detector.backbone), depths(detector.neck)) == (backbone, neck)


def assert_equal(found: object, expected: object) -> None:
    torch.testing.assert_close(tuple(found), tuple(expected), rtol=0, atol=0)
