"""Recognize official weights, and their license."""

from __future__ import annotations

import re
from collections.abc import Sequence

from model_zoo.class_names import COCO_NAMES, DARKNET_SPELLING, VOC_NAMES
from model_zoo.contract.licenses import UNKNOWN
from model_zoo.releases import DARKNET, RELEASES


def recognize(variant: str, family: str, class_names: Sequence[str], sha256: str) -> tuple[str, str]:
    """Return the license of imported weights, and how it is known, for the user.

    A file is known by its SHA-256. Otherwise weights of a released variant with exactly its classes count as released,
    because most are, and the license is assumed. The license of any other weights is unknown.
    """
    if official := next((name for name, release in RELEASES.items() if release.sha256 == sha256), None):
        license = RELEASES[official].license
        return license, f"license {license}: the official release of {official}, by its SHA-256"
    if variant in RELEASES and _has_released_classes(variant, class_names):
        license = RELEASES[variant].license
        return license, (
            f"license {license}, assumed: variant and classes are those of the official release of {variant}. "
            "If these are other weights, set their license with --license"
        )
    terms = " or ".join(dict.fromkeys(RELEASES[name].license for name in RELEASES if name.startswith(family)))
    return UNKNOWN, (
        "warning: the license of these weights is not known, nor the weights they were trained from. Official weights "
        f"of this family are under {terms}; if these were trained from them, those terms apply. Set it with --license"
    )


def license_of_backbone(file_name: str) -> str:
    """Return the license of a classifier in Darknet's format, known by the names of Darknet's own files."""
    return DARKNET if re.match(r"(darknet(19|53)|extraction|tiny)\b|darknet(19|53)_448\b", file_name) else UNKNOWN


def _has_released_classes(variant: str, class_names: Sequence[str]) -> bool:
    """Return True for the classes of COCO or VOC, in the spelling of this project or of Darknet."""
    names = VOC_NAMES if "voc" in variant or variant in ("yolov1", "yolov1-tiny") else COCO_NAMES
    return [DARKNET_SPELLING.get(name, name) for name in class_names] == [DARKNET_SPELLING.get(n, n) for n in names]
