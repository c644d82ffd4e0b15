"""Find splits by name or purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from training.data.dataset import Dataset, Split


def dataset_with(*names: str) -> Dataset:
    return Dataset(Path("set"), ("ant",), (0,), {name: Split(name, (), "") for name in names})


@pytest.mark.parametrize(
    ("requested", "available", "expected"),
    [
        ("train", ("train", "train2017"), "train"),
        ("train", ("val", "train2017"), "train2017"),
        ("train", ("trainval", "test"), "trainval"),
        ("train", ("Training_2", "test"), "Training_2"),
        ("val", ("train", "valid"), "valid"),
        ("val", ("trainval", "test"), "test"),
        ("val", ("test", "minival2014"), "minival2014"),
        ("test", ("val", "test2007"), "test2007"),
        ("coco128", ("val", "coco128"), "coco128"),
    ],
)
def test_split_matches_name_or_purpose(requested: str, available: tuple[str, ...], expected: str) -> None:
    assert dataset_with(*available).split(requested).name == expected


@pytest.mark.parametrize(
    ("requested", "available", "message"),
    [
        ("train", ("val", "test"), "set: split 'train' not found; available: val, test"),
        ("val", (), "set: split 'val' not found; the dataset has no splits"),
        ("wild", ("val",), "set: split 'wild' not found; available: val"),
        ("train", ("train2014", "train2017"), "set: split 'train' is ambiguous; train2014 and train2017 match; give"),
    ],
)
def test_split_without_single_match_raises_with_alternatives(
    requested: str, available: tuple[str, ...], message: str
) -> None:
    with pytest.raises(LineageError) as error:
        dataset_with(*available).split(requested)
    assert str(error.value).startswith(message)
