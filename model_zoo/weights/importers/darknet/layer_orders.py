"""Order in which each variant's modules are stored in a `.weights` file: that of the original cfg."""

from __future__ import annotations

from model_zoo.classifier import CLASSIFIERS
from model_zoo.weights.importers.darknet.weights_file import LayerOrder

_BACKBONE_TO_HEAD: LayerOrder = ("backbone", "neck", "head")
_YOLOV3: LayerOrder = (
    *("backbone", "neck.set5", "neck.out5", "head.predict.2"),
    *("neck.reduce5", "neck.set4", "neck.out4", "head.predict.1"),
    *("neck.reduce4", "neck.set3", "neck.out3", "head.predict.0"),
)
_TINY: LayerOrder = (
    *("backbone", "neck.set5", "neck.out5", "head.predict.1"),
    *("neck.reduce5", "neck.out4", "head.predict.0"),
)
_YOLOV4: LayerOrder = (
    *("backbone", "neck.top5", "neck.reduce5", "neck.lateral4", "neck.top4", "neck.reduce4", "neck.lateral3"),
    *("neck.top3", "neck.out3", "head.predict.0"),
    *("neck.down4", "neck.bottom4", "neck.out4", "head.predict.1"),
    *("neck.down5", "neck.bottom5", "neck.out5", "head.predict.2"),
)
LAYER_ORDERS: dict[str, LayerOrder] = {
    **dict.fromkeys(("yolov1", "yolov1-tiny", "yolov1-paper", "yolov1-fast", "yolov1-test"), _BACKBONE_TO_HEAD),
    **dict.fromkeys(("yolov2", "yolov2-voc", "yolov2-tiny", "yolov2-tiny-voc", "yolov2-test"), _BACKBONE_TO_HEAD),
    **dict.fromkeys(("yolov3", "yolov3-spp", "yolov3-voc", "yolov3-test"), _YOLOV3),
    **dict.fromkeys(("yolov4", "yolov4-csp", "yolov4-csp-swish", "yolov4-csp-x-mish", "yolov4x-mish"), _YOLOV4),
    **dict.fromkeys(("yolov4-p5", "yolov4-test", "yolov4-csp-test"), _YOLOV4),
    **dict.fromkeys(("yolov3-tiny", "yolov4-tiny"), _TINY),
    **dict.fromkeys(CLASSIFIERS, ("backbone", "predict")),
}
