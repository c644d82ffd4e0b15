"""Exceptions that list errors of a dataset."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.training.data.tiny_datasets import make_yolo
from training.data.open import open_dataset
from training.data.validation.findings import InvalidDatasetError


def test_exception_lists_first_errors_and_counts_the_others(tmp_path: Path) -> None:
    make_yolo(tmp_path / "set")
    (tmp_path / "set/labels/train/train_0.txt").write_text("9 0.5 0.5 0.1 0.1\n" * 12)
    with pytest.raises(InvalidDatasetError) as raised:
        open_dataset(tmp_path / "set")
    head, *listed, rest = str(raised.value).splitlines()
    assert head.endswith("12 errors in the dataset. Fix them before training.")
    assert [re.search(r"train_0\.txt:(\d+): class", line)[1] for line in listed] == list("12345")
    assert "and 7 more. Run `lineage data check" in rest
