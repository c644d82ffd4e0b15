from __future__ import annotations

import pytest

from model_zoo import registry
from model_zoo.class_names import COCO_NAMES, VOC_NAMES
from model_zoo.contract.errors import LineageError


def test_names_of_the_data_sets_are_complete():
    assert (len(COCO_NAMES), len(VOC_NAMES)) == (80, 20)
    assert len(set(COCO_NAMES)) == 80


def test_every_variant_is_listed_with_its_family():
    assert "yolov5" in registry.families()
    assert "yolov5s-focus" in registry.variants("yolov5")
    assert all(registry.family_of(v) == "yolov5" for v in registry.variants("yolov5"))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(LineageError, match=r"got 'yolov5nn'; did you mean yolov5n"):
        registry.build("yolov5nn")


def test_a_hopeless_name_is_answered_with_all():
    with pytest.raises(LineageError, match=r"known: .*yolov5n6"):
        registry.build("resnet50")


def test_classes_by_default_by_count_and_by_name():
    assert registry.build("yolov5-test").class_names == COCO_NAMES
    assert registry.build("yolov5-test", 2).class_names == ("class0", "class1")
    assert registry.build("yolov5-test", class_names=["ant", "bee"]).class_names == ("ant", "bee")


@pytest.mark.parametrize(("count", "names"), [(3, ["ant", "bee"]), (0, None), (None, [])])
def test_classes_that_make_no_sense_are_refused(count, names):
    with pytest.raises(LineageError, match="expected"):
        registry.build("yolov5-test", count, names)


def test_a_variant_has_one_family():
    with pytest.raises(RuntimeError, match="two families"):
        registry.register(registry.describe_family("yolox"), ["yolov5n"])(lambda *_: None)
