"""One page per generation; importing this package registers all of them."""

from model_zoo.families import yolov2, yolov3, yolov5

__all__ = ["yolov2", "yolov3", "yolov5"]
