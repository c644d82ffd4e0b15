"""Image sizes in options and messages."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.contract.image_size import format_size, parse_size
from tests.conftest import ROOT

PACKAGES = ("lineage", "model_zoo", "service", "training", "benchmarks", "examples")
HEIGHTS, WIDTHS = ("height", "heights", "rows", "h"), ("width", "widths", "columns", "w")


def test_size_is_written_width_first() -> None:
    assert format_size((480, 640)) == "640 x 480"
    assert format_size(np.zeros((48, 64, 3)).shape) == "64 x 48"


def test_option_is_none_a_square_or_height_and_width() -> None:
    assert parse_size(()) is None
    assert parse_size((320,)) == (320, 320)
    assert parse_size([480, 640]) == (480, 640)


@pytest.mark.parametrize(("sides", "actual"), [((1, 2, 3), "1 2 3"), ((0,), "0"), ((64, -32), "64 -32")])
def test_other_numbers_are_refused(sides: tuple[int, ...], actual: str) -> None:
    with pytest.raises(LineageError, match=f"one positive number, or height and width; got {actual}$"):
        parse_size(sides)


def height_first(path: Path) -> list[str]:
    """Return the f-strings of a file that write a height before a width with only a cross between them."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        parts = node.values if isinstance(node, ast.JoinedStr) else []
        for first, cross, second in zip(parts, parts[1:], parts[2:], strict=False):
            is_cross = isinstance(cross, ast.Constant) and str(cross.value).strip() in ("x", "*", ",")
            sides = [ast.unparse(p.value) if isinstance(p, ast.FormattedValue) else "" for p in (first, second)]
            names = [side.rpartition(".")[2] for side in sides]
            by_name = names[0] in HEIGHTS and names[1] in WIDTHS
            by_index = sides[0].endswith("[0]") and sides[1] == sides[0].removesuffix("[0]") + "[1]"
            if is_cross and (by_name or by_index):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_no_message_writes_the_height_first() -> None:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    found = [place for path in files for place in height_first(path)]
    assert [place for place in found if "runtime/sessions.py" not in place] == []  # a tensor's shape, for TensorRT
