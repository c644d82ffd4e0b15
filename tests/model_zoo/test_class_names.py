from __future__ import annotations

from model_zoo.class_names import COCO_NAMES, VOC_NAMES


def test_class_names_are_complete_and_unique() -> None:
    assert (len(COCO_NAMES), len(VOC_NAMES)) == (80, 20)
    assert (len(set(COCO_NAMES)), len(set(VOC_NAMES))) == (80, 20)
