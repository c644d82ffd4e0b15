"""Classes of a model and a dataset: exact matches, near matches and the objects that are affected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from training.data.dataset import Record
from training.evaluate.class_names import compare_classes, find_similar, match_classes


def record(class_ids: list[int], crowd: list[bool] | None = None) -> Record:
    count = len(class_ids)
    boxes, areas = np.zeros((count, 4), np.float32), np.zeros(count, np.float32)
    mask = np.array(crowd or [False] * count, dtype=np.bool_)
    return Record(Path("a.jpg"), (8, 8), boxes, np.array(class_ids, np.int64), mask, areas, 1)


def test_classes_are_matched_by_name() -> None:
    assert match_classes(["c5", "cat", "c1"], ["c1", "c2", "c3", "c5"]) == {0: 3, 2: 0}


def test_model_without_shared_classes_is_refused() -> None:
    labels = [f"c{i}" for i in range(11)]
    with pytest.raises(LineageError, match=r"classes of the dataset \(c0, c1, .* and 1 more\); got one with cat, dog$"):
        match_classes(["cat", "dog"], labels)
    with pytest.raises(LineageError, match=r"got one with cat, dog; 'Cat' is similar to 'cat'; rename .*--ignore-case"):
        match_classes(["cat", "dog"], ["Cat", "bird"])


@pytest.mark.parametrize(
    "label", ["Traffic Light", "traffic_light", "TRAFFIC-LIGHT", "trafficlight", " traffic  light"]
)
def test_notation_is_ignored_on_request(label: str) -> None:
    assert match_classes(["car", "traffic light"], ["car", label]) == {0: 0}
    assert match_classes(["car", "traffic light"], ["car", label], ignore_case=True) == {0: 0, 1: 1}


def test_exact_names_come_before_similar_ones() -> None:
    assert match_classes(["Person", "person"], ["person"], ignore_case=True) == {1: 0}
    assert match_classes(["cat", "PERSON", "Person"], ["cat", "person"], ignore_case=True) == {0: 0}, "ambiguous"
    assert match_classes(["cat", "+", "-"], ["cat", "-", "_"], ignore_case=True) == {0: 0, 2: 1}


@pytest.mark.parametrize(
    ("label", "similar"),
    [
        ("Person", "person"),
        ("persons", "person"),
        ("traffic-lights", "traffic light"),
        ("bus", "buses"),
        ("city", "cities"),
        ("motorcyle", "motorcycle"),
        ("\uff43\uff41\uff52", "car"),
        ("STRASSE", "straße"),
        ("zebra", ""),
        ("", ""),
    ],
)
def test_similar_names_are_found(label: str, similar: str) -> None:
    names = ["person", "traffic light", "buses", "cities", "motorcycle", "car", "straße"]
    assert find_similar(label, names) == similar


def test_affected_objects_are_counted_without_crowds() -> None:
    records = [record([0, 1, 1, 2], [False, False, True, False]), record([]), record([1])]
    comparison = compare_classes(["ant", "Bee", "fly"], ["ant", "bee", "wasp"], records)
    assert [tuple(unknown) for unknown in comparison.only_dataset] == [("bee", 2, "Bee"), ("wasp", 1, "")]
    assert comparison.only_model == ("Bee", "fly")
    warning, note = comparison.lines()
    assert warning.startswith("warning: 3 of 4 objects in 2 classes that the model does not have")
    assert "bee (2 objects; the model has 'Bee'), wasp (1 object)" in warning
    assert note.startswith("2 classes that the dataset does not have")


def test_equal_classes_give_no_lines() -> None:
    assert compare_classes(["ant", "bee"], ["bee", "ant"], [record([0])]).lines() == []


def test_split_without_objects_is_warned_about() -> None:
    [line] = compare_classes(["ant"], ["ant"], [record([0], [True])]).lines()
    assert line == "warning: the split has no objects to find except crowds, so AP is -1"


def test_many_classes_are_counted() -> None:
    names = [f"class{i}" for i in range(80)]
    [line] = compare_classes(names, names[:1], [record([0])]).lines()
    assert line.endswith("class9, class10 and 69 more")
