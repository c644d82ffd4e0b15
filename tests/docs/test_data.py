"""Compare docs/data.md with the code: findings, layouts, numbers and the example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lineage.cli.data import MAX_SHOWN
from tests.docs.documents import blocks, table, text
from tests.training.data.tiny_datasets import make_coco
from training.data import cache
from training.data.formats import coco
from training.data.image_info import HASH_GRID
from training.data.validation import duplicates
from training.data.validation.findings import KINDS

DOCUMENT = "docs/data.md"


def test_every_finding_is_documented() -> None:
    assert table(DOCUMENT, "Findings") == [[kind, severity, meaning] for kind, (severity, meaning) in KINDS.items()]


def test_coco_layouts_are_documented() -> None:
    [layout] = [row[2] for row in table(DOCUMENT, "Formats") if row[0] == "COCO"]
    assert re.findall(r"[\w*/.]+\.json", layout) == [*coco.PATTERNS, *coco.FOLDER_PATTERNS]


@pytest.mark.parametrize(
    "sentence",
    [
        f"{HASH_GRID} x {HASH_GRID} brightness differences",
        f"at most {duplicates.MAX_HASH_DISTANCE} of {HASH_GRID * HASH_GRID} bits",
        f"less than {({2.0: 'two'})[cache.MIN_AGE]} seconds before",
        f"After {({5: 'five'})[MAX_SHOWN]} findings of a kind",
    ],
)
def test_numbers_match_the_code(sentence: str) -> None:
    assert sentence in " ".join(text(DOCUMENT).split())


def test_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make_coco(tmp_path / "bccd")
    monkeypatch.chdir(tmp_path)
    [source] = blocks(DOCUMENT, "python")
    exec(compile(source, DOCUMENT, "exec"), {})
    assert "train_0.jpg (48, 64)" in capsys.readouterr().out
