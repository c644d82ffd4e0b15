"""Messages in docs/troubleshooting.md, compared with those of the code."""

from __future__ import annotations

import ast
import re

import pytest

from benchmarks.structure import PACKAGES, nodes_of, python_files
from service.settings import Settings
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`.*?`) \|", TEXT, re.MULTILINE)


def literals() -> list[str]:
    """Return all string literals of the packages, with `...` for expressions, and the text of the Makefile."""
    texts = [(ROOT / "Makefile").read_text(encoding="utf-8")]
    for node in (node for path in python_files(*PACKAGES) for node in nodes_of(path)):
        if isinstance(node, ast.JoinedStr):
            texts.append("".join(str(v.value) if isinstance(v, ast.Constant) else "..." for v in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    return texts


@pytest.fixture(scope="module")
def messages() -> list[str]:
    return literals()


def contains(text: str, parts: list[str]) -> bool:
    """Return True if a text has all parts in their order."""
    position = 0
    for part in parts:
        position = text.find(part, position)
        if position < 0:
            return False
        position += len(part)
    return True


@pytest.mark.parametrize("row", ROWS)
def test_message_is_in_the_code(row: str, messages: list[str]) -> None:
    parts = [part.strip() for part in row.strip("`").split("...")]
    assert any(contains(text, parts) for text in messages)


def test_settings_exist() -> None:
    names = set(re.findall(r"LINEAGE_([A-Z_]+)", TEXT)) - {"DEBUG"}
    assert names
    assert {name.lower() for name in names} <= set(Settings.model_fields)
