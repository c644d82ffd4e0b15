"""Size of every variant of YOLOv1, its input, and its locally connected layer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from model_zoo.class_names import VOC_NAMES
from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.families.yolov1 import LocalConv
from model_zoo.profile import profile
from model_zoo.registry import build, variants
from model_zoo.weights.importers.darknet.file_sizes import file_size

# Published: parameters, bytes of the file, 1e9 operations of the convolutions as Darknet prints them.
PUBLISHED = {
    "yolov1-paper": (271_703_550, 1_086_814_216, 40.15),
    "yolov1": (197_301_875, 789_312_988, 40.15),
    "yolov1-tiny": (27_095_374, 108_399_816, 3.18),
    "yolov1-fast": (45_089_374, 180_357_512, 4.80),  # operations: our own count
}
HEADER = 16


def on_meta(variant: str) -> Detector:
    with torch.device("meta"):
        return build(variant)


def test_published_sizes_cover_all_variants() -> None:
    assert {*PUBLISHED, "yolov1-test"} == set(variants("yolov1"))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameters_and_gflops_match_published_ones(variant: str) -> None:
    params, size, gflops = PUBLISHED[variant]
    detector = on_meta(variant)
    normalized = sum(m.num_features for m in detector.modules() if isinstance(m, torch.nn.BatchNorm2d))
    measured = profile(detector)
    assert measured.params == params
    assert measured.gflops == pytest.approx(gflops, abs=0.006)
    assert profile(detector.deploy()).params == params - normalized
    assert HEADER + 4 * file_size(variant).floats(20) == size


def test_number_of_convolutions_matches_the_paper() -> None:
    count = {v: sum(isinstance(m, torch.nn.Conv2d) for m in on_meta(v).modules()) for v in PUBLISHED}
    assert count == {"yolov1-paper": 24, "yolov1": 24, "yolov1-tiny": 8, "yolov1-fast": 9}


def test_length_of_the_raw_vector() -> None:
    assert on_meta("yolov1-paper").head.predict.out_features == 7 * 7 * 30
    assert on_meta("yolov1").head.predict.out_features == 7 * 7 * 35


def test_input_is_fixed_and_stretched() -> None:
    detector = on_meta("yolov1-test")
    assert detector.class_names == VOC_NAMES
    assert detector.input_spec.letterbox.align == "stretch"
    with pytest.raises(LineageError, match=r"expected the fixed input size 448 x 448"):
        detector.resize((512, 512))


def test_local_layer_with_equal_filters_is_a_convolution() -> None:
    torch.manual_seed(0)
    layer, x = LocalConv(3, 5, side=4), torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        layer.weight.copy_(layer.weight[:1].expand_as(layer.weight).clone())
    expected = F.conv2d(x, layer.weight[0], padding=1) + layer.bias
    torch.testing.assert_close(layer(x), expected)


def test_local_layer_has_separate_filters_per_position() -> None:
    layer, x = LocalConv(1, 1, kernel=1, side=2), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([10.0, 20.0, 30.0, 40.0]).view(4, 1, 1, 1, 1))
        layer.bias.copy_(torch.tensor([[[0.1, 0.2], [0.3, 0.4]]]))
    torch.testing.assert_close(layer(x), torch.tensor([[[[10.1, 40.2], [90.3, 160.4]]]]))
