"""Decode image files to RGB arrays, with limits, EXIF orientation and strict checks."""

from model_zoo.contract.images.decode import DEFAULT_LIMITS, ImageLimits, decode_image, probe
from model_zoo.contract.images.types import ImageHeader

__all__ = ["DEFAULT_LIMITS", "ImageHeader", "ImageLimits", "decode_image", "probe"]
