"""Parameters, work and input size of every variant in its deployed form.

Counting takes up to a second per variant, so the sizes of all public variants are stored here. A test compares
them with the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model_zoo.contract.letterbox import Size


@dataclass(frozen=True)
class ModelSize:
    """Size of a variant in its deployed form."""

    params: int
    """Number of parameters."""
    gflops: float
    """1e9 operations of the convolutions per image of `input_size`, two per multiply-add."""
    input_size: Size
    """Height and width of the input in pixels."""


def model_size(variant: str) -> ModelSize:
    """Return the stored size of a variant, or compute it.

    Raises:
        LineageError: The variant does not exist.
    """
    return KNOWN_SIZES.get(variant) or compute_size(variant)


def compute_size(variant: str) -> ModelSize:
    """Build a variant on the meta device and count its size."""
    import torch

    from model_zoo.profile import profile
    from model_zoo.registry import build

    with torch.device("meta"):
        detector = build(variant)
    counted = profile(detector.deploy())
    return ModelSize(counted.params, round(counted.gflops, 2), detector.input_spec.size)


KNOWN_SIZES: Mapping[str, ModelSize] = {
    "yolov1-paper": ModelSize(271_703_550, 40.15, (448, 448)),
    "yolov1": ModelSize(197_288_691, 40.15, (448, 448)),
    "yolov1-tiny": ModelSize(27_093_086, 3.18, (448, 448)),
    "yolov1-fast": ModelSize(45_089_374, 4.8, (448, 448)),
    "yolov2": ModelSize(50_952_553, 62.94, (608, 608)),
    "yolov2-voc": ModelSize(50_645_053, 29.36, (416, 416)),
    "yolov2-tiny": ModelSize(11_229_513, 5.41, (416, 416)),
    "yolov2-tiny-voc": ModelSize(15_858_717, 6.97, (416, 416)),
    "yolov3": ModelSize(61_922_845, 140.69, (608, 608)),
    "yolov3-spp": ModelSize(62_971_933, 141.45, (608, 608)),
    "yolov3-mmdet": ModelSize(61_922_845, 140.69, (608, 608)),
    "yolov3-voc": ModelSize(61_599_745, 65.43, (416, 416)),
    "yolov3-tiny": ModelSize(8_849_182, 5.56, (416, 416)),
    "yolov4": ModelSize(64_329_949, 128.39, (608, 608)),
    "yolov4-tiny": ModelSize(6_053_502, 6.91, (416, 416)),
    "yolov4-csp": ModelSize(52_889_053, 76.95, (512, 512)),
    "yolov4-csp-swish": ModelSize(52_889_053, 120.24, (640, 640)),
    "yolov4-csp-x-mish": ModelSize(99_703_061, 221.88, (640, 640)),
    "yolov4x-mish": ModelSize(99_703_061, 221.88, (640, 640)),
    "yolov4-p5": ModelSize(70_787_292, 326.64, (896, 896)),
    "yolov5n": ModelSize(1_867_405, 4.47, (640, 640)),
    "yolov5s": ModelSize(7_225_885, 16.43, (640, 640)),
    "yolov5m": ModelSize(21_172_173, 48.87, (640, 640)),
    "yolov5l": ModelSize(46_533_693, 108.99, (640, 640)),
    "yolov5x": ModelSize(86_705_005, 205.45, (640, 640)),
    "yolov5n6": ModelSize(3_239_884, 18.24, (1280, 1280)),
    "yolov5s6": ModelSize(12_612_508, 67.19, (1280, 1280)),
    "yolov5m6": ModelSize(35_704_908, 199.65, (1280, 1280)),
    "yolov5l6": ModelSize(76_726_332, 444.94, (1280, 1280)),
    "yolov5x6": ModelSize(140_730_220, 838.26, (1280, 1280)),
    "yolov5s-focus": ModelSize(7_266_973, 16.96, (640, 640)),
    "yolov5m-focus": ModelSize(21_356_877, 51.23, (640, 640)),
    "yolov5l-focus": ModelSize(47_025_981, 115.29, (640, 640)),
    "yolov5x-focus": ModelSize(87_730_285, 218.56, (640, 640)),
    "yolov6n": ModelSize(4_317_246, 11.04, (640, 640)),
    "yolov6t": ModelSize(14_970_526, 36.32, (640, 640)),
    "yolov6s": ModelSize(17_220_446, 43.87, (640, 640)),
    "yolov6m": ModelSize(34_286_486, 81.47, (640, 640)),
    "yolov6l": ModelSize(58_541_067, 142.76, (640, 640)),
    "yolov6l-relu": ModelSize(58_541_067, 142.76, (640, 640)),
    "yolov6n-v1": ModelSize(4_317_439, 11.04, (640, 640)),
    "yolov6t-v1": ModelSize(14_970_943, 36.32, (640, 640)),
    "yolov6s-v1": ModelSize(17_220_863, 43.87, (640, 640)),
    "yolov6n-v3": ModelSize(4_646_974, 11.32, (640, 640)),
    "yolov6s-v3": ModelSize(18_537_310, 44.97, (640, 640)),
    "yolov6m-v3": ModelSize(34_855_958, 85.09, (640, 640)),
    "yolov6l-v3": ModelSize(59_607_563, 149.47, (640, 640)),
    "yolov6n6-v3": ModelSize(10_373_970, 49.33, (1280, 1280)),
    "yolov6n-v3-fuseab": ModelSize(4_646_974, 11.32, (640, 640)),
    "yolov6s-v3-fuseab": ModelSize(18_537_310, 44.97, (640, 640)),
    "yolov6m-v3-fuseab": ModelSize(34_855_958, 85.09, (640, 640)),
    "yolov6l-v3-fuseab": ModelSize(59_607_563, 149.47, (640, 640)),
    "yolov6n-v3-distill": ModelSize(4_646_974, 11.32, (640, 640)),
    "yolov6s-v3-distill": ModelSize(18_537_310, 44.97, (640, 640)),
    "yolov7-tiny": ModelSize(6_219_709, 13.7, (640, 640)),
    "yolov7": ModelSize(36_905_341, 104.51, (640, 640)),
    "yolov7x": ModelSize(71_311_741, 189.67, (640, 640)),
    "yolov7-w6": ModelSize(70_394_300, 359.72, (1280, 1280)),
    "yolov7-e6": ModelSize(97_202_940, 514.43, (1280, 1280)),
    "yolov7-d6": ModelSize(133_757_052, 701.74, (1280, 1280)),
    "yolov7-e6e": ModelSize(151_687_420, 842.18, (1280, 1280)),
    "yolox-nano": ModelSize(904_463, 1.05, (416, 416)),
    "yolox-tiny": ModelSize(5_047_191, 6.41, (416, 416)),
    "yolox-s": ModelSize(8_956_703, 26.69, (640, 640)),
    "yolox-m": ModelSize(25_304_847, 73.53, (640, 640)),
    "yolox-l": ModelSize(54_174_271, 155.29, (640, 640)),
    "yolox-x": ModelSize(99_020_975, 281.41, (640, 640)),
    "yolox-darknet53": ModelSize(63_695_903, 184.68, (640, 640)),
}
