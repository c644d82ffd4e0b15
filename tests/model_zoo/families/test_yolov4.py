"""Size and work of every variant of YOLOv4, how its boxes are decoded, and what its networks see."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from model_zoo.blocks.darknet import Residual
from model_zoo.detector import Detector
from model_zoo.heads.anchor import AnchorHead
from model_zoo.profile import profile
from model_zoo.registry import build, variants
from model_zoo.weights.importers.darknet.file_sizes import file_size

# Published: parameters, floats of the file, 1e9 operations at the variant's size as Darknet counts them.
PUBLISHED = {
    "yolov4": (64_363_101, 64_429_405, 128.46),
    "yolov4-tiny": (6_056_606, 6_062_814, 6.91),
    "yolov4-csp": (52_921_437, 52_986_205, 77.00),
    "yolov4-csp-swish": (52_921_437, 52_986_205, 120.32),
    "yolov4x-mish": (99_751_053, 99_847_037, 221.99),
    "yolov4-csp-x-mish": (99_751_053, 99_847_037, 221.99),
    "yolov4-p5": (70_830_684, 70_917_468, 326.81),
}
RAW = 0.7
LOGISTIC = 1 / (1 + math.exp(-RAW))


def on_meta(variant: str) -> Detector:
    with torch.device("meta"):
        return build(variant)


def test_no_variant_goes_uncounted() -> None:
    assert {*PUBLISHED, "yolov4-test", "yolov4-csp-test"} == set(variants("yolov4"))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameters_are_the_published_ones(variant: str) -> None:
    params, floats, _ = PUBLISHED[variant]
    detector = on_meta(variant)
    normalized = sum(m.num_features for m in detector.modules() if isinstance(m, nn.BatchNorm2d))
    assert profile(detector).params == params
    assert profile(detector.deploy()).params == params - normalized
    assert file_size(variant).floats(80) == floats


@pytest.mark.parametrize("variant", PUBLISHED)
def test_work_is_the_published_one(variant: str) -> None:
    """Darknet's total is more than convolutions: one operation per number that a pool sees or a shortcut adds."""
    detector, small = on_meta(variant), 0

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal small
        small += output.numel() * (module.kernel_size**2 if isinstance(module, nn.MaxPool2d) else 1)

    for module in detector.modules():
        if isinstance(module, nn.MaxPool2d | Residual):
            module.register_forward_hook(count)
    assert profile(detector).gflops + small / 1e9 == pytest.approx(PUBLISHED[variant][2], abs=0.005)


@pytest.mark.parametrize("variant", PUBLISHED)
def test_batch_norm_has_darknets_eps(variant: str) -> None:
    assert {m.eps for m in on_meta(variant).modules() if isinstance(m, nn.BatchNorm2d)} == {1e-5}


def test_images_are_stretched_for_yolov4_and_letterboxed_for_scaled_yolov4() -> None:
    aligned = {variant: on_meta(variant).input_spec.letterbox.align for variant in PUBLISHED}
    assert aligned == {name: "stretch" if name in ("yolov4", "yolov4-tiny") else "center" for name in PUBLISHED}


@pytest.mark.parametrize(("level", "reach"), [(0, 1.2), (1, 1.1), (2, 1.05)])
def test_centers_of_yolov4_reach_beyond_their_cell(level: int, reach: float) -> None:
    """x = (column + s p - (s - 1) / 2) * stride, with p the logistic of the raw number; w = anchor * exp(raw)."""
    head, maps, at = one_raw_number("yolov4-test", level)
    boxes, _ = head.decode(head.rows(maps), head.priors(maps))
    stride, anchor = head.strides[level], head.anchors[level, 1]
    center = (2 + reach * LOGISTIC - (reach - 1) / 2) * stride
    width = anchor[0] * math.exp(RAW)
    assert boxes[0, at, [0, 2]].tolist() == pytest.approx([float(center - width / 2), float(center + width / 2)])


@pytest.mark.parametrize("level", [0, 1, 2])
def test_scaled_yolov4_decodes_as_yolov5_does(level: int) -> None:
    """x = (column + 2p - 1/2) * stride, w = (2p)^2 * anchor, with p the logistic of the raw number."""
    head, maps, at = one_raw_number("yolov4-csp-test", level)
    boxes, _ = head.decode(head.rows(maps), head.priors(maps))
    stride, anchor = head.strides[level], head.anchors[level, 1]
    center, width = (2 + 2 * LOGISTIC - 0.5) * stride, (2 * LOGISTIC) ** 2 * anchor[0]
    assert boxes[0, at, [0, 2]].tolist() == pytest.approx([float(center - width / 2), float(center + width / 2)])


def one_raw_number(variant: str, level: int) -> tuple[AnchorHead, list[Tensor], int]:
    """Raw maps, zero but for x and w of the second anchor of `level` in column 2, row 1; and the index of that row."""
    head = build(variant).head
    assert isinstance(head, AnchorHead)
    maps = [torch.zeros(1, 3, 3, 4, 85) for _ in head.strides]
    maps[level][0, 1, 1, 2, [0, 2]] = RAW
    return head, maps, level * 36 + 12 + 4 + 2


def test_the_levels_of_tiny_share_an_anchor() -> None:
    anchors = build("yolov4-tiny").head.anchors.tolist()
    assert anchors == [[[23, 27], [37, 58], [81, 82]], [[81, 82], [135, 169], [344, 319]]]
