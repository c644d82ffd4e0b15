from __future__ import annotations

import pytest

from model_zoo import registry
from model_zoo.class_names import COCO_NAMES
from model_zoo.contract.errors import LineageError


def test_variants_are_listed_by_family():
    assert "yolov5" in registry.families()
    assert "yolov5s-focus" in registry.variants("yolov5")
    assert all(registry.family_of(v) == "yolov5" for v in registry.variants("yolov5"))


def test_misspelled_name_suggests_the_closest():
    with pytest.raises(LineageError, match=r"got 'yolov5nn'; did you mean yolov5n"):
        registry.build("yolov5nn")


def test_unknown_name_lists_all():
    with pytest.raises(LineageError, match=r"known: .*yolov5n6"):
        registry.build("resnet50")


def test_classes_are_set_by_default_count_or_names():
    assert registry.build("yolov5-test").class_names == COCO_NAMES
    assert registry.build("yolov5-test", 2).class_names == ("class0", "class1")
    assert registry.build("yolov5-test", class_names=["ant", "bee"]).class_names == ("ant", "bee")


@pytest.mark.parametrize(("count", "names"), [(3, ["ant", "bee"]), (0, None), (None, [])])
def test_invalid_classes_are_refused(count, names):
    with pytest.raises(LineageError, match="expected"):
        registry.build("yolov5-test", count, names)


def test_variant_of_two_families_is_refused():
    with pytest.raises(RuntimeError, match="two families"):
        registry.register(registry.describe_family("yolox"), ["yolov5n"])(lambda *_: None)


def test_every_family_has_a_summary_and_changes_since_its_predecessor():
    described = [registry.describe_family(name) for name in registry.families()]
    assert [family.name for family in described] == list(registry.families())
    assert all(family.summary for family in described)
    assert all(f"({family.year}" in family.summary for family in described)
    assert [family.name for family in described if not family.changes.startswith("Changes since YOLOv")] == ["yolov1"]
    with pytest.raises(LineageError, match="expected the name of a family; got 'yolov99'; known: yolov1"):
        registry.describe_family("yolov99")
