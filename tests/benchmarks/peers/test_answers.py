"""Agreement with the reference: each rule fails a server that breaks it."""

from __future__ import annotations

import pytest

from benchmarks.peers.answers import agreement
from benchmarks.peers.subjects import rows

CLEAR = [10, 10, 110, 110, 0.8, 3]
FAINT = [200, 200, 260, 260, 0.3, 1]
REFERENCE = [rows([CLEAR, FAINT])]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([CLEAR, FAINT], (1, 1, 0)),
        ([CLEAR], (1, 1, 0)),
        ([[10, 10, 110, 112, 0.76, 3]], (1, 1, 0)),
        ([], (0, 1, 0)),
        ([[10, 10, 110, 110, 0.7, 3]], (0, 1, 1)),
        ([[10, 10, 110, 110, 0.8, 4]], (0, 1, 1)),
        ([[10, 10, 110, 140, 0.8, 3]], (0, 1, 1)),
        ([CLEAR, [400, 400, 500, 500, 0.6, 3]], (1, 1, 1)),
        ([CLEAR, [400, 400, 500, 500, 0.5, 3]], (1, 1, 0)),
    ],
)
def test_clear_detections_have_to_be_found_and_no_others(
    answer: list[list[float]], expected: tuple[int, int, int]
) -> None:
    assert agreement(REFERENCE, [rows(answer)]) == expected
