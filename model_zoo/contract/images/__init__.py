"""Image files to RGB arrays: formats, limits, EXIF orientation, damage."""

from model_zoo.contract.images.decode import DEFAULT_LIMITS, ImageLimits, decode_image, probe
from model_zoo.contract.images.types import ImageHeader

__all__ = ["DEFAULT_LIMITS", "ImageHeader", "ImageLimits", "decode_image", "probe"]
