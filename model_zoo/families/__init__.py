"""One module per generation. Importing this package registers all of them."""

from model_zoo.families import (
    yolov1,
    yolov2,
    yolov3,
    yolov4,
    yolov4_csp,
    yolov5,
    yolov6,
    yolov6_v3,
    yolov7,
    yolov7_p6,
    yolox,
)

__all__ = [
    "yolov1",
    "yolov2",
    "yolov3",
    "yolov4",
    "yolov4_csp",
    "yolov5",
    "yolov6",
    "yolov6_v3",
    "yolov7",
    "yolov7_p6",
    "yolox",
]
