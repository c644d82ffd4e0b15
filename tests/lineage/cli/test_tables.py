from __future__ import annotations

from lineage.cli.tables import format_table


def test_columns_are_aligned_without_trailing_blanks() -> None:
    assert format_table([("name", "size", ""), ("a", "1,000", "x"), ("bb", "5", "")], right=(1,)) == (
        "name   size\na     1,000  x\nbb        5"
    )
