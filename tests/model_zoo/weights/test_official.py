from __future__ import annotations

import pytest

from model_zoo.class_names import COCO_NAMES, DARKNET_SPELLING, VOC_NAMES
from model_zoo.registry import family_of
from model_zoo.releases import RELEASES
from model_zoo.weights.official import license_of_backbone, recognize

DARKNETS_COCO = [DARKNET_SPELLING.get(name, name) for name in COCO_NAMES]


@pytest.mark.parametrize("variant", [name for name, release in RELEASES.items() if release.sha256])
def test_files_are_recognized_by_their_hash(variant: str) -> None:
    release = RELEASES[variant]
    license, note = recognize("yolov1", "yolov1", ["cup"], release.sha256 or "")
    assert license == release.license
    assert f"the official release of {variant}, by its SHA-256" in note


@pytest.mark.parametrize(
    "variant", ["yolov1", "yolov2-voc", "yolov3", "yolov4-tiny", "yolov5x", "yolox-s", "yolov6n-v3"]
)
def test_variant_and_default_classes_are_those_of_the_release(variant: str) -> None:
    names = VOC_NAMES if variant in ("yolov1", "yolov2-voc") else COCO_NAMES
    license, note = recognize(variant, family_of(variant), names, "0" * 64)
    assert (license, "assumed" in note) == (RELEASES[variant].license, True)


def test_darknets_spelling_of_coco_is_recognized() -> None:
    assert recognize("yolov3", "yolov3", DARKNETS_COCO, "")[0] == "LicenseRef-Darknet"


@pytest.mark.parametrize(
    ("variant", "names", "terms"),
    [
        ("yolov5n", ["cup"], "AGPL-3.0"),
        ("yolov7", COCO_NAMES[:79], "GPL-3.0"),
        ("yolox-s", COCO_NAMES[::-1], "Apache-2.0"),
        ("yolov3", VOC_NAMES, "LicenseRef-Darknet or Apache-2.0"),
        ("yolov6n-v3-distill", COCO_NAMES, "GPL-3.0"),
    ],
)
def test_terms_of_the_family_are_named_for_other_weights(variant: str, names: tuple[str, ...], terms: str) -> None:
    license, note = recognize(variant, family_of(variant), names, "")
    assert license == "unknown"
    assert f"of this family are under {terms};" in note


def test_darknets_backbones_are_known_by_name() -> None:
    known = ("darknet53.conv.74", "darknet19_448.conv.23", "extraction.conv.weights", "darknet53.weights")
    assert {license_of_backbone(name) for name in known} == {"LicenseRef-Darknet"}
    assert {license_of_backbone(name) for name in ("mine.weights", "darknet53custom.weights")} == {"unknown"}
