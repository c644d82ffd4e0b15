"""Parameters, work and input of every variant in its deployed form, as `profile` counts them.

Counting takes up to a second a variant, a table of all of them a minute: so the numbers are kept here, and a test holds
them to the code. What is not here is counted when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from model_zoo.contract.letterbox import Size
from model_zoo.profile import profile
from model_zoo.registry import build


@dataclass(frozen=True)
class Measures:
    """params: learned numbers when deployed. gflops: at `input_size` (height, width), two per multiply-add."""

    params: int
    gflops: float
    input_size: Size


def measures(variant: str) -> Measures:
    """Look up the measures of a variant, or take them; LineageError if there is no such variant."""
    return KNOWN.get(variant) or measure(variant)


def measure(variant: str) -> Measures:
    """Take the measures of a variant."""
    with torch.device("meta"):
        detector = build(variant)
    counted = profile(detector.deploy())
    return Measures(counted.params, round(counted.gflops, 2), detector.input_spec.size)


KNOWN: Mapping[str, Measures] = {
    "yolov1-paper": Measures(271_703_550, 40.15, (448, 448)),
    "yolov1": Measures(197_288_691, 40.15, (448, 448)),
    "yolov1-tiny": Measures(27_093_086, 3.18, (448, 448)),
    "yolov1-fast": Measures(45_089_374, 4.8, (448, 448)),
    "yolov2": Measures(50_952_553, 62.94, (608, 608)),
    "yolov2-voc": Measures(50_645_053, 29.36, (416, 416)),
    "yolov2-tiny": Measures(11_229_513, 5.41, (416, 416)),
    "yolov2-tiny-voc": Measures(15_858_717, 6.97, (416, 416)),
    "yolov3": Measures(61_922_845, 140.69, (608, 608)),
    "yolov3-spp": Measures(62_971_933, 141.45, (608, 608)),
    "yolov3-mmdet": Measures(61_922_845, 140.69, (608, 608)),
    "yolov3-voc": Measures(61_599_745, 65.43, (416, 416)),
    "yolov3-tiny": Measures(8_849_182, 5.56, (416, 416)),
    "yolov4": Measures(64_329_949, 128.39, (608, 608)),
    "yolov4-tiny": Measures(6_053_502, 6.91, (416, 416)),
    "yolov4-csp": Measures(52_889_053, 76.95, (512, 512)),
    "yolov4-csp-swish": Measures(52_889_053, 120.24, (640, 640)),
    "yolov4-csp-x-mish": Measures(99_703_061, 221.88, (640, 640)),
    "yolov4x-mish": Measures(99_703_061, 221.88, (640, 640)),
    "yolov4-p5": Measures(70_787_292, 326.64, (896, 896)),
    "yolov5n": Measures(1_867_405, 4.47, (640, 640)),
    "yolov5s": Measures(7_225_885, 16.43, (640, 640)),
    "yolov5m": Measures(21_172_173, 48.87, (640, 640)),
    "yolov5l": Measures(46_533_693, 108.99, (640, 640)),
    "yolov5x": Measures(86_705_005, 205.45, (640, 640)),
    "yolov5n6": Measures(3_239_884, 18.24, (1280, 1280)),
    "yolov5s6": Measures(12_612_508, 67.19, (1280, 1280)),
    "yolov5m6": Measures(35_704_908, 199.65, (1280, 1280)),
    "yolov5l6": Measures(76_726_332, 444.94, (1280, 1280)),
    "yolov5x6": Measures(140_730_220, 838.26, (1280, 1280)),
    "yolov5s-focus": Measures(7_266_973, 16.96, (640, 640)),
    "yolov5m-focus": Measures(21_356_877, 51.23, (640, 640)),
    "yolov5l-focus": Measures(47_025_981, 115.29, (640, 640)),
    "yolov5x-focus": Measures(87_730_285, 218.56, (640, 640)),
    "yolov6n": Measures(4_317_246, 11.04, (640, 640)),
    "yolov6t": Measures(14_970_526, 36.32, (640, 640)),
    "yolov6s": Measures(17_220_446, 43.87, (640, 640)),
    "yolov6m": Measures(34_286_486, 81.47, (640, 640)),
    "yolov6l": Measures(58_541_067, 142.76, (640, 640)),
    "yolov6l-relu": Measures(58_541_067, 142.76, (640, 640)),
    "yolov6n-v1": Measures(4_317_439, 11.04, (640, 640)),
    "yolov6t-v1": Measures(14_970_943, 36.32, (640, 640)),
    "yolov6s-v1": Measures(17_220_863, 43.87, (640, 640)),
    "yolov6n-v3": Measures(4_646_974, 11.32, (640, 640)),
    "yolov6s-v3": Measures(18_537_310, 44.97, (640, 640)),
    "yolov6m-v3": Measures(34_855_958, 85.09, (640, 640)),
    "yolov6l-v3": Measures(59_607_563, 149.47, (640, 640)),
    "yolov6n6-v3": Measures(10_373_970, 49.33, (1280, 1280)),
    "yolov6n-v3-fuseab": Measures(4_646_974, 11.32, (640, 640)),
    "yolov6s-v3-fuseab": Measures(18_537_310, 44.97, (640, 640)),
    "yolov6m-v3-fuseab": Measures(34_855_958, 85.09, (640, 640)),
    "yolov6l-v3-fuseab": Measures(59_607_563, 149.47, (640, 640)),
    "yolov6n-v3-distill": Measures(4_646_974, 11.32, (640, 640)),
    "yolov6s-v3-distill": Measures(18_537_310, 44.97, (640, 640)),
    "yolov7-tiny": Measures(6_219_709, 13.7, (640, 640)),
    "yolov7": Measures(36_905_341, 104.51, (640, 640)),
    "yolov7x": Measures(71_311_741, 189.67, (640, 640)),
    "yolov7-w6": Measures(70_394_300, 359.72, (1280, 1280)),
    "yolov7-e6": Measures(97_202_940, 514.43, (1280, 1280)),
    "yolov7-d6": Measures(133_757_052, 701.74, (1280, 1280)),
    "yolov7-e6e": Measures(151_687_420, 842.18, (1280, 1280)),
    "yolox-nano": Measures(904_463, 1.05, (416, 416)),
    "yolox-tiny": Measures(5_047_191, 6.41, (416, 416)),
    "yolox-s": Measures(8_956_703, 26.69, (640, 640)),
    "yolox-m": Measures(25_304_847, 73.53, (640, 640)),
    "yolox-l": Measures(54_174_271, 155.29, (640, 640)),
    "yolox-x": Measures(99_020_975, 281.41, (640, 640)),
    "yolox-darknet53": Measures(63_695_903, 184.68, (640, 640)),
}
