"""Official releases: file, license and published result of each variant's weights.

Files stay where their authors published them. A sha256 is given where several independent parties have recorded the
same one for the file at that address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

AGPL, GPL, APACHE = "AGPL-3.0", "GPL-3.0", "Apache-2.0"
DARKNET = "LicenseRef-Darknet"  # public domain in its authors' own words; SPDX has no identifier for them
VAL, TEST, VOC = "COCO val2017", "COCO test-dev", "VOC 2007 test"


@dataclass(frozen=True)
class PublishedResult:
    """A result that the authors published."""

    value: float
    """Value in percent."""
    measure: str
    """Metric. AP is the mean over IoU 0.50 to 0.95."""
    dataset: str
    """Dataset and split."""
    source: str
    """Where the authors published it."""

    def __str__(self) -> str:
        return f"{self.value:.1f} {self.measure} on {self.dataset} ({self.source})"


@dataclass(frozen=True)
class Release:
    """Official weights of a variant."""

    url: str
    """Address of the file."""
    license: str
    """SPDX identifier of the weights' license."""
    paper: str | None
    """arXiv identifier of the paper."""
    result: PublishedResult
    """Published result of these weights."""
    sha256: str | None = None
    """SHA-256 of the file, if known."""

    @property
    def file_name(self) -> str:
        """Name of the file."""
        return PurePosixPath(self.url).name


@dataclass(frozen=True)
class Project:
    """Values that the releases of one project share."""

    folder: str
    """Address without the file name."""
    license: str
    """SPDX identifier."""
    paper: str | None
    """arXiv identifier."""
    dataset: str
    """Dataset of the published results."""
    source: str
    """Where the results are published."""
    measure: str = "AP"
    """Metric of the results."""

    def release(
        self,
        file: str,
        value: float,
        sha256: str | None = None,
        *,
        measure: str | None = None,
        dataset: str | None = None,
        source: str | None = None,
    ) -> Release:
        """Return the release of a file and its published result."""
        result = PublishedResult(value, measure or self.measure, dataset or self.dataset, source or self.source)
        return Release(f"{self.folder}/{file}", self.license, self.paper, result, sha256)


_GITHUB = "https://github.com"
_ALEXEY = f"{_GITHUB}/AlexeyAB/darknet/releases/download"
_REDMON = "https://pjreddie.com/media/files"
_YOLOV6 = f"{_GITHUB}/meituan/YOLOv6/releases/download"
_SITE, _README, _PAPER = "Darknet's site", "the repository's README", "the paper"

_V1 = Project(f"{_REDMON}/yolov1", DARKNET, "1506.02640", VOC, _PAPER, "mAP")
_V2 = Project(_REDMON, DARKNET, "1612.08242", TEST, _SITE, "AP50")
_V3 = Project(_REDMON, DARKNET, "1804.02767", TEST, _README, "AP50")
_MMDET = Project(
    "https://download.openmmlab.com/mmdetection/v2.0/yolo", APACHE, "1804.02767", VAL, "MMDetection's model zoo"
)
_V4 = Project(_ALEXEY, DARKNET, "2004.10934", TEST, _README)
_SCALED_V4 = Project(f"{_ALEXEY}/darknet_yolo_v4_pre", DARKNET, "2011.08036", TEST, _README)
_V5 = Project(f"{_GITHUB}/ultralytics/yolov5/releases/download/v7.0", AGPL, None, VAL, "README of v7.0")
_V5_FOCUS = Project(f"{_GITHUB}/ultralytics/yolov5/releases/download/v5.0", AGPL, None, VAL, "README of v5.0")
_V6_V1 = Project(f"{_YOLOV6}/0.1.0", GPL, None, VAL, "README of 0.1.0")
_V6 = Project(f"{_YOLOV6}/0.2.0", GPL, "2209.02976", VAL, "README of 0.2.0")
_V6_300 = "README of 0.2.0, after 300 epochs"
_V6_V3 = Project(f"{_YOLOV6}/0.4.0", GPL, "2301.05586", VAL, "README of 0.4.0")
_V7 = Project(f"{_GITHUB}/WongKinYiu/yolov7/releases/download/v0.1", GPL, "2207.02696", TEST, _README)
_X = Project(f"{_GITHUB}/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0", APACHE, "2107.08430", VAL, _README)

RELEASES: Mapping[str, Release] = {
    "yolov1": _V1.release("yolov1.weights", 63.4, source=_SITE),
    "yolov1-tiny": _V1.release("tiny-yolov1.weights", 52.7),
    "yolov2": _V2.release("yolov2.weights", 48.1, "d9945162ed6f54ce1a901e3ec537bdba4d572ecae7873087bd730e5a7942df3f"),
    "yolov2-voc": _V2.release("yolov2-voc.weights", 76.8, measure="mAP", dataset=VOC, source=_PAPER),
    "yolov2-tiny": _V2.release("yolov2-tiny.weights", 23.7),
    "yolov2-tiny-voc": _V2.release("yolov2-tiny-voc.weights", 57.1, measure="mAP", dataset=VOC),
    "yolov3": _V3.release(
        "yolov3.weights",
        33.0,
        "523e4e69e1d015393a1b0a441cef1d9c7659e3eb2d7e15f793f060a21b32f297",
        measure="AP",
        source=_PAPER,
    ),
    "yolov3-spp": _V3.release(
        "yolov3-spp.weights", 60.6, "87a1e8c85c763316f34e428f2295e1db9ed4abcec59dd9544f8052f50de327b4"
    ),
    "yolov3-tiny": _V3.release(
        "yolov3-tiny.weights", 33.1, "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"
    ),
    "yolov3-mmdet": _MMDET.release(
        "yolov3_d53_mstrain-608_273e_coco/yolov3_d53_mstrain-608_273e_coco_20210518_115020-a2c3acb8.pth", 33.7
    ),
    "yolov4": _V4.release(
        "darknet_yolo_v3_optimal/yolov4.weights",
        43.5,
        "e8a4f6c62188738d86dc6898d82724ec0964d0eb9d2ae0f0a9d53d65d108d562",
    ),
    "yolov4-tiny": _V4.release(
        "yolov4/yolov4-tiny.weights",
        40.2,
        "cf9fbfd0f6d4869b35762f56100f50ed05268084078805f0e7989efe5bb8ca87",
        measure="AP50",
    ),
    "yolov4-csp": _SCALED_V4.release("yolov4-csp.weights", 46.2),
    "yolov4-csp-swish": _SCALED_V4.release("yolov4-csp-swish.weights", 50.0),
    "yolov4x-mish": _SCALED_V4.release("yolov4x-mish.weights", 50.1),
    "yolov4-p5": _SCALED_V4.release("yolov4-p5.weights", 51.6),
    "yolov5n": _V5.release("yolov5n.pt", 28.0, "4f180cf23ba0717ada0badd6c685026d73d48f184d00fc159c2641284b2ac0a3"),
    "yolov5s": _V5.release("yolov5s.pt", 37.4, "8b3b748c1e592ddd8868022e8732fde20025197328490623cc16c6f24d0782ee"),
    "yolov5m": _V5.release("yolov5m.pt", 45.4, "61d933360ba5a7733a36764996c800287d973889d875227f5beedd2473a97a56"),
    "yolov5l": _V5.release("yolov5l.pt", 49.0),
    "yolov5x": _V5.release("yolov5x.pt", 50.7),
    "yolov5n6": _V5.release("yolov5n6.pt", 36.0),
    "yolov5s6": _V5.release("yolov5s6.pt", 44.8),
    "yolov5m6": _V5.release("yolov5m6.pt", 51.3),
    "yolov5l6": _V5.release("yolov5l6.pt", 53.7),
    "yolov5x6": _V5.release("yolov5x6.pt", 55.0),
    "yolov5s-focus": _V5_FOCUS.release("yolov5s.pt", 36.7),
    "yolov5m-focus": _V5_FOCUS.release("yolov5m.pt", 44.5),
    "yolov5l-focus": _V5_FOCUS.release("yolov5l.pt", 48.2),
    "yolov5x-focus": _V5_FOCUS.release("yolov5x.pt", 50.4),
    "yolov6n-v1": _V6_V1.release("yolov6n.pt", 35.0),
    "yolov6t-v1": _V6_V1.release("yolov6t.pt", 41.3),
    "yolov6s-v1": _V6_V1.release("yolov6s.pt", 43.1),
    "yolov6n": _V6.release("yolov6n.pt", 35.9, source=_V6_300),
    "yolov6t": _V6.release("yolov6t.pt", 40.3, source=_V6_300),
    "yolov6s": _V6.release("yolov6s.pt", 43.5, source=_V6_300),
    "yolov6m": _V6.release("yolov6m.pt", 49.5),
    "yolov6l": _V6.release("yolov6l.pt", 52.5),
    "yolov6l-relu": _V6.release("yolov6l_relu.pt", 51.7),
    "yolov6n-v3": _V6_V3.release("yolov6n.pt", 37.5),
    "yolov6s-v3": _V6_V3.release("yolov6s.pt", 45.0),
    "yolov6m-v3": _V6_V3.release("yolov6m.pt", 50.0),
    "yolov6l-v3": _V6_V3.release("yolov6l.pt", 52.8),
    "yolov6n6-v3": _V6_V3.release("yolov6n6.pt", 44.9),
    "yolov7-tiny": _V7.release("yolov7-tiny.pt", 35.2, dataset=f"{VAL} at 416", source=_PAPER),
    "yolov7": _V7.release("yolov7.pt", 51.4),
    "yolov7x": _V7.release("yolov7x.pt", 53.1),
    "yolov7-w6": _V7.release("yolov7-w6.pt", 54.9),
    "yolov7-e6": _V7.release("yolov7-e6.pt", 56.0),
    "yolov7-d6": _V7.release("yolov7-d6.pt", 56.6),
    "yolov7-e6e": _V7.release("yolov7-e6e.pt", 56.8),
    "yolox-nano": _X.release("yolox_nano.pth", 25.8),
    "yolox-tiny": _X.release(
        "yolox_tiny.pth", 32.8, "9de513de589ac98bb92d3bca53b5af7b9acfa9b0bacb831f7999d0f7afaee8f0"
    ),
    "yolox-s": _X.release("yolox_s.pth", 40.5, "f55ded7181e1b0c13285c56e7790b8f0e8f8db590fe4edb37f0b7f345c913a30"),
    "yolox-m": _X.release("yolox_m.pth", 46.9, "60076992b32da82951c90cfa7bd6ab70eba9eda243e08b940a396f60ac2d19b6"),
    "yolox-l": _X.release("yolox_l.pth", 49.7, "1e6b7fa6240375370b2a8a8eab9066b3cdd43fd1d0bfa8d2027fd3a51def2917"),
    "yolox-x": _X.release("yolox_x.pth", 51.1, "5652330b6ae860043f091b8f550a60c10e1129f416edfdb65c259be6caf355cf"),
    "yolox-darknet53": _X.release("yolox_darknet.pth", 47.7),
}
# Networks of a paper whose weights were never published.
WITHOUT_WEIGHTS: Mapping[str, PublishedResult] = {
    "yolov1-paper": PublishedResult(63.4, "mAP", VOC, _PAPER),
    "yolov1-fast": PublishedResult(52.7, "mAP", VOC, _PAPER),
}


def published_result(variant: str) -> PublishedResult | None:
    """Return the result that was published for a variant, if any."""
    return RELEASES[variant].result if variant in RELEASES else WITHOUT_WEIGHTS.get(variant)
