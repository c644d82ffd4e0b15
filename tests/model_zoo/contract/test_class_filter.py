from __future__ import annotations

from dataclasses import replace

import pytest

from model_zoo.contract.card import ModelCard
from model_zoo.contract.class_filter import class_ids, parse_classes, quoted
from model_zoo.contract.errors import QueryError


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("person,car", ["person", "car"]),
        (" wine glass , 3", ["wine glass", "3"]),
        ('"cup, glass",fork', ["cup, glass", "fork"]),
        ('fork, "cup, glass" , knife', ["fork", "cup, glass", "knife"]),
        ('"5"" pipe, long"', ['5" pipe, long']),
        ('5" pipe', ['5" pipe']),
        ('""', [""]),
        ("", [""]),
        ("a,,b", ["a", "", "b"]),
        (["a,b", '"c, d"'], ["a", "b", "c, d"]),
    ],
)
def test_filters_are_split_like_csv(text: str | list[str], names: list[str]) -> None:
    assert parse_classes(text) == names


@pytest.mark.parametrize("name", ["cup", "cup, glass", '5" pipe', '"quoted"', "a,b"])
def test_quoted_name_is_read_back(name: str) -> None:
    assert parse_classes(f"{quoted(name)},x") == [name, "x"]


@pytest.mark.parametrize("text", ["x" * 200_000, "cup\nfork"])
def test_filters_that_are_no_line_of_csv_are_refused(text: str) -> None:
    with pytest.raises(QueryError, match="expected short names on one line, separated by commas") as caught:
        parse_classes(text)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (["cup"], {0, 2}),
        (["cup, glass"], {1}),
        (["1", 1], {3, 1}),
        (["id:1", "id:0"], {1, 0}),
        (["2"], {2}),
        ([], set()),
    ],
)
def test_classes_are_found_by_name_or_index(card: ModelCard, wanted: list[str | int], ids: set[int]) -> None:
    odd = replace(card, class_names=("cup", "cup, glass", "cup", "1"))
    assert class_ids(odd, wanted) == ids


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("glass", 'a name with a comma needs quotes: "cup, glass"'),
        ("Fork", "did you mean fork"),
        ("", 'expected a label or an index of: "cup, glass", fork'),
        ("id:2", "has no class 'id:2'; expected a label or an index"),
        (7, "has no class 7"),
    ],
)
def test_unknown_classes_get_a_hint(card: ModelCard, wanted: str | int, hint: str) -> None:
    with pytest.raises(QueryError, match=hint):
        class_ids(replace(card, class_names=("cup, glass", "fork")), [wanted])


def test_hint_has_the_spelling_of_the_class(card: ModelCard) -> None:
    with pytest.raises(QueryError, match=r"did you mean RBC\?"):
        class_ids(replace(card, class_names=("RBC", "Platelets", "RBC")), ["rbc"])
