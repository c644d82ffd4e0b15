"""Decode image files to RGB arrays, with limits, EXIF orientation and strict checks."""

from model_zoo.contract.images.decode import (
    DEFAULT_LIMITS,
    ImageLimits,
    Warn,
    check_length,
    decode_image,
    decode_parsed,
    parse_image,
    probe,
)
from model_zoo.contract.images.types import EncodedImage, ImageHeader

__all__ = [
    "DEFAULT_LIMITS",
    "EncodedImage",
    "ImageHeader",
    "ImageLimits",
    "Warn",
    "check_length",
    "decode_image",
    "decode_parsed",
    "parse_image",
    "probe",
]
