"""YOLOv6: size and work of every variant, blocks that fold, and what is there in training alone."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from model_zoo.blocks.bi_fusion import BiFusion
from model_zoo.blocks.cspsppf import SimCSPSPPF
from model_zoo.blocks.rep_block import BottleRep, CSPStackRep, RepBlock, RepVGGBlock
from model_zoo.detector import Detector
from model_zoo.heads.efficient import BINS, EfficientHead
from model_zoo.profile import profile
from model_zoo.registry import build, variants
from tests.model_zoo.batch_norms import randomize

# Published: parameters of the training form, of the deployed form, GFLOPs deployed and in training, at its own size.
PUBLISHED = {
    "yolov6n": (4_737_566, 4_317_246, 11.04, 12.15),
    "yolov6t": (16_363_166, 14_970_526, 36.32, 39.90),
    "yolov6s": (18_869_022, 17_220_446, 43.87, 48.29),
    "yolov6m": (37_170_358, 34_286_486, 81.47, 88.73),
    "yolov6l": (58_589_195, 58_541_067, 142.76, 142.76),
    "yolov6l-relu": (63_539_723, 58_541_067, 142.76, 155.80),
    # The original of 0.1.0 has 4,318,015 when deployed: it leaves six normalizations, 576 numbers, unfolded.
    "yolov6n-v1": (4_737_759, 4_317_439, 11.04, 12.15),
    "yolov6n-v3": (5_058_270, 4_646_974, 11.32, 12.37),
    "yolov6s-v3": (20_147_358, 18_537_310, 44.97, 49.18),
    "yolov6m-v3": (37_740_982, 34_855_958, 85.09, 92.35),
    "yolov6l-v3": (59_638_731, 59_607_563, 149.47, 149.47),
    "yolov6n6-v3": (11_239_346, 10_373_970, 49.33, 53.92),
}
# What the other forms have beyond a variant: 0.1.0 predicts objectness and has no constants, 3.0 adds to the head.
BEYOND = {
    **{f"yolov6{size}-v1": (f"yolov6{size}", 64 + 128 + 256 + 3 - 2 * BINS) for size in "ts"},
    **{
        f"yolov6{size}-v3-fuseab": (f"yolov6{size}-v3", 3 * 84 * (3 + channels))
        for size, channels in (("n", 224), ("s", 448), ("m", 672), ("l", 896))
    },
    **{f"yolov6{size}-v3-distill": (f"yolov6{size}-v3", 68 * (3 + c)) for size, c in (("n", 224), ("s", 448))},
}


@functools.cache
def on_meta(variant: str) -> Detector:
    """Build a detector without memory; tests share it and leave it as it is."""
    with torch.device("meta"):
        return build(variant).eval()


def test_no_variant_goes_uncounted() -> None:
    assert {*PUBLISHED, *BEYOND, "yolov6-test", "yolov6-v3-test"} == set(variants("yolov6"))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameters_and_gflops_are_the_published_ones(variant: str) -> None:
    params, deployed_params, gflops, training_gflops = PUBLISHED[variant]
    detector = on_meta(variant)
    training, deployed = profile(detector), profile(detector.deploy())
    assert (training.params, deployed.params) == (params, deployed_params)
    assert training.gflops == pytest.approx(training_gflops, abs=0.006)
    assert deployed.gflops == pytest.approx(gflops, abs=0.006)


@pytest.mark.parametrize("variant", BEYOND)
def test_other_forms_differ_in_the_head_alone(variant: str) -> None:
    plain, more = BEYOND[variant]
    detector = on_meta(variant)
    assert profile(detector).params == PUBLISHED[plain][0] + more
    if "-v3" in variant:
        added = sum(p.numel() for p in detector.head.added.parameters())
        assert added == more


@pytest.mark.parametrize("variant", PUBLISHED)
def test_activations_and_normalization_are_the_generations(variant: str) -> None:
    detector = on_meta(variant)
    norms = {(m.eps, m.momentum) for m in detector.modules() if isinstance(m, nn.BatchNorm2d)}
    assert norms == {(1e-3, 0.03)}
    large = variant in ("yolov6l", "yolov6l-v3")
    assert activations(detector.backbone) == {nn.SiLU if large else nn.ReLU}
    assert activations(detector.neck) == ({nn.SiLU, nn.ReLU} if large else {nn.ReLU})
    assert activations(detector.head) == {nn.SiLU}


def activations(module: nn.Module) -> set[type[nn.Module]]:
    return {type(m) for m in module.modules() if isinstance(m, nn.SiLU | nn.ReLU)}


def test_plain_convolutions_of_the_second_release_alone_have_a_bias() -> None:
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
def test_stages_are_as_deep_as_published(variant: str, backbone: list[int], neck: list[int]) -> None:
    def depths(part: nn.Module) -> list[int]:
        stages = [m for m in part.modules() if isinstance(m, RepBlock | CSPStackRep)]
        return [len(stage.blocks if isinstance(stage, CSPStackRep) else stage) for stage in stages]

    detector = on_meta(variant)
    assert (depths(detector.backbone), depths(detector.neck)) == (backbone, neck)


# --- blocks --------------------------------------------------------------------------------------------------------


BLOCKS = {
    "RepVGGBlock": lambda: RepVGGBlock(6, 6),
    "RepVGGBlock, other channels": lambda: RepVGGBlock(6, 4),
    "RepVGGBlock, stride 2": lambda: RepVGGBlock(6, 6, 2),
    "RepBlock": lambda: RepBlock(6, 5, 3),
    "BottleRep": lambda: BottleRep(6, RepVGGBlock),
    "CSPStackRep": lambda: CSPStackRep(6, 9, 4, share=2 / 3),
    "SimCSPSPPF": lambda: SimCSPSPPF(6, 8),
}


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(BLOCKS)), st.integers(0, 2**31))
def test_blocks_fold_to_plain_convolutions(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    block = nn.Sequential(randomize(BLOCKS[name]()))
    x = torch.rand(2, 6, 9, 11)
    before = block(x)
    deployed = Detector("toy", "toy", block, nn.Identity(), nn.Identity(), None, ()).deploy().backbone
    assert {type(m) for m in deployed.modules()}.isdisjoint({nn.BatchNorm2d, RepVGGBlock})
    torch.testing.assert_close(deployed(x), before, rtol=1e-5, atol=1e-5 * float(before.abs().max()))


def test_the_shortcut_of_a_bottle_rep_is_weighed() -> None:
    block = randomize(BottleRep(4, RepVGGBlock))
    x = torch.rand(1, 4, 5, 5)
    block.alpha.fill_(-0.5)
    torch.testing.assert_close(block(x), block.conv2(block.conv1(x)) - 0.5 * x)


def test_the_short_path_of_the_pyramid_comes_first() -> None:
    block = randomize(SimCSPSPPF(4, 6))
    block.conv7 = nn.Identity()
    x = torch.randn(1, 4, 14, 14)
    torch.testing.assert_close(block(x)[:, :3], block.conv2(x))


def test_a_fusion_joins_from_deep_to_shallow() -> None:
    block = randomize(BiFusion(4, 6, 5))
    block.conv3 = nn.Identity()
    deep, same, shallow = torch.randn(1, 4, 3, 5), torch.randn(1, 6, 6, 10), torch.randn(1, 5, 12, 20)
    parts = block(deep, same, shallow).split(4, dim=1)
    expected = (block.upsample(deep), block.conv1(same), block.down(block.conv2(shallow)))
    torch.testing.assert_close(parts, expected)


# --- head ----------------------------------------------------------------------------------------------------------


def test_distances_are_counted_from_the_center_of_the_cell() -> None:
    head = EfficientHead([4], 2, (16,))
    rows = torch.tensor([[[1.0, 2.0, 3.0, -0.25, 0.0, 100.0]]])
    boxes, scores = head.decode(rows, torch.tensor([[5.0, 7.0, 16.0]]))
    torch.testing.assert_close(boxes, torch.tensor([[[4.5, 5.5, 8.5, 7.25]]]) * 16)
    torch.testing.assert_close(scores, torch.tensor([[[0.5, 1.0]]]))


@given(st.lists(st.integers(0, BINS - 1), min_size=4, max_size=4))
def test_a_distance_is_the_expectation_of_its_distribution(bins: list[int]) -> None:
    head = EfficientHead([4], 2, (8,), BINS)
    certain = 50 * nn.functional.one_hot(torch.tensor(bins), BINS).float()
    torch.testing.assert_close(head.distances(certain.view(1, 1, -1)), torch.tensor(bins).float().view(1, 1, 4))
    even = head.distances(torch.zeros(1, 1, 4 * BINS))
    torch.testing.assert_close(even, torch.full((1, 1, 4), (BINS - 1) / 2))


def test_constants_do_not_learn() -> None:
    detector = build("yolov6-v3-test", 3)
    assert [name for name, p in detector.named_parameters() if not p.requires_grad] == ["head.bins"]
    assert detector.head.bins.tolist() == [list(range(BINS))] * 2


@pytest.mark.parametrize(("variant", "cells"), [("yolov6-test", 2.0), ("yolov6-v3-test", BINS - 1.0)])
@torch.inference_mode()
def test_an_untrained_head_expects_a_class_in_one_cell_of_a_hundred(variant: str, cells: float) -> None:
    """Boxes reach a cell to each side, or as far as even distributions say."""
    torch.manual_seed(0)
    detector = randomize(build(variant, 3))
    boxes, scores = detector.forward_decoded(torch.rand(1, 3, 64, 64))
    sizes = boxes[0, :64, 2:] - boxes[0, :64, :2]
    torch.testing.assert_close(scores, torch.full_like(scores, 0.01), rtol=0.5, atol=0)
    torch.testing.assert_close(sizes, torch.full_like(sizes, 8 * cells), rtol=0.5, atol=0)
    assert len(scores.unique()) > 0.9 * scores.numel()


def test_an_untrained_head_of_the_first_release_expects_objects_as_rarely() -> None:
    head = build("yolov6n-v1").head
    for level in head.levels:
        for prediction in (level.objectness, level.classes):
            torch.testing.assert_close(prediction.bias.sigmoid(), torch.full_like(prediction.bias, 0.01))


def test_added_maps_follow_the_leads_in_training_and_predict_nothing() -> None:
    torch.manual_seed(0)
    detector = randomize(build("yolov6-v3-test", 3))
    for conv in (m for m in detector.head.modules() if isinstance(m, nn.Conv2d)):
        nn.init.normal_(conv.weight, std=0.1)
    x = torch.rand(1, 3, 64, 96)
    maps, predictions = detector(x), detector.forward_decoded(x)
    detector.head.training = True  # normalizations stay in evaluation
    both = detector(x)
    assert [tuple(m.shape) for m in both[3:]] == [(1, 3 * (4 + 3), 64 // s, 96 // s) for s in (8, 16, 32)]
    assert_equal(both[:3], maps)
    assert_equal(detector.forward_decoded(x), predictions)
    assert len(detector.deploy().train()(x)) == 3
    assert len(detector.head.added) == 3


def assert_equal(found: object, expected: object) -> None:
    torch.testing.assert_close(tuple(found), tuple(expected), rtol=0, atol=0)


def test_ranking_orders_rows_as_their_best_score() -> None:
    head = EfficientHead([4], 5, (8,))
    rows = torch.randn(1, 50, 9)
    _, scores = head.decode(rows, torch.zeros(50, 3))
    best: Tensor = scores.amax(dim=2)
    assert torch.equal(head.ranking(rows).argsort(), best.argsort())
