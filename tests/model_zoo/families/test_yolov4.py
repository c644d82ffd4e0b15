"""Size of every variant of YOLOv4 and Scaled-YOLOv4, their input and anchors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from model_zoo.blocks.darknet import Residual
from model_zoo.detector import Detector
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


def on_meta(variant: str) -> Detector:
    with torch.device("meta"):
        return build(variant)


def test_published_sizes_cover_all_variants() -> None:
    assert {*PUBLISHED, "yolov4-test", "yolov4-csp-test"} == set(variants("yolov4"))


FAST = ("yolov4", "yolov4-tiny", "yolov4-csp")


@pytest.mark.parametrize("variant", [v if v in FAST else pytest.param(v, marks=pytest.mark.slow) for v in PUBLISHED])
def test_parameters_match_published_ones(variant: str) -> None:
    params, floats, _ = PUBLISHED[variant]
    detector = on_meta(variant)
    normalized = sum(m.num_features for m in detector.modules() if isinstance(m, nn.BatchNorm2d))
    assert profile(detector).params == params
    assert profile(detector.deploy()).params == params - normalized
    assert file_size(variant).floats(80) == floats


@pytest.mark.parametrize("variant", [v if v in FAST else pytest.param(v, marks=pytest.mark.slow) for v in PUBLISHED])
def test_gflops_match_published_ones(variant: str) -> None:
    """Darknet's total includes one operation per input of a pool and per sum of a shortcut."""
    detector, extra = on_meta(variant), 0

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal extra
        extra += output.numel() * (module.kernel_size**2 if isinstance(module, nn.MaxPool2d) else 1)

    for module in detector.modules():
        if isinstance(module, nn.MaxPool2d | Residual):
            module.register_forward_hook(count)
    assert profile(detector).gflops + extra / 1e9 == pytest.approx(PUBLISHED[variant][2], abs=0.005)


@pytest.mark.parametrize("variant", PUBLISHED)
def test_batch_norm_has_eps_of_darknet(variant: str) -> None:
    assert {m.eps for m in on_meta(variant).modules() if isinstance(m, nn.BatchNorm2d)} == {1e-5}


def test_letterbox_of_each_variant() -> None:
    aligned = {variant: on_meta(variant).input_spec.letterbox.align for variant in PUBLISHED}
    assert aligned == {name: "stretch" if name in ("yolov4", "yolov4-tiny") else "center" for name in PUBLISHED}


def test_levels_of_tiny_share_an_anchor() -> None:
    anchors = build("yolov4-tiny").head.anchors.tolist()
    assert anchors == [[[23, 27], [37, 58], [81, 82]], [[81, 82], [135, 169], [344, 319]]]
