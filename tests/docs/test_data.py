"""What docs/data.md says of findings, layouts and names is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lineage.cli.data import MAX_SHOWN
from tests.docs.test_docs import blocks, table, text
from tests.training.data.tiny_datasets import make_coco
from training.data import cache
from training.data.formats import coco
from training.data.image_info import GRID
from training.data.validation import duplicates
from training.data.validation.findings import KINDS

DOCUMENT = "docs/data.md"


def test_every_finding_is_documented() -> None:
    assert table(DOCUMENT, "Findings") == [[kind, severity, meaning] for kind, (severity, meaning) in KINDS.items()]


def test_the_layouts_of_coco_are_documented() -> None:
    [layout] = [row[2] for row in table(DOCUMENT, "Formats") if row[0] == "COCO"]
    assert re.findall(r"[\w*/.]+\.json", layout) == [*coco.PATTERNS, *coco.PATTERNS_OF_FOLDERS]


@pytest.mark.parametrize(
    "said",
    [
        f"{GRID} x {GRID} differences of brightness",
        f"up to {duplicates.NEAR} of its {GRID * GRID} bits",
        f"less than {({2.0: 'two'})[cache.SETTLED]} seconds before",
        f"After {({5: 'five'})[MAX_SHOWN]} findings of a kind",
    ],
)
def test_the_numbers_are_those_of_the_code(said: str) -> None:
    assert said in " ".join(text(DOCUMENT).split())


def test_the_python_in_the_document_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_coco(tmp_path / "bccd")
    monkeypatch.chdir(tmp_path)
    [source] = blocks(DOCUMENT, "python")
    exec(compile(source, DOCUMENT, "exec"), {})
    assert "train_0.jpg (48, 64)" in capsys.readouterr().out
