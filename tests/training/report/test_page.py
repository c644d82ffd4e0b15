"""HTML pages: tables and escaping."""

from __future__ import annotations

from training.report.page import Page


def test_table_escapes_text_and_shows_undefined_metrics_as_dash() -> None:
    page = Page("a & b")
    page.table(["x"], [[-1.0], [0.5], ["<i>"]])
    assert "<td>\N{EN DASH}</td>" in page.html()
    assert "<td>0.5000</td>" in page.html()
    assert "<td>&lt;i&gt;</td>" in page.html()
    assert "<h1>a &amp; b</h1>" in page.html()
