"""One page per generation; importing this package registers all of them."""

from model_zoo.families import yolov2, yolov3, yolov5, yolov7, yolov7_p6, yolox

__all__ = ["yolov2", "yolov3", "yolov5", "yolov7", "yolov7_p6", "yolox"]
