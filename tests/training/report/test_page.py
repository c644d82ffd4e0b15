"""HTML pages: summary, contents, tables and escaping."""

from __future__ import annotations

import os
import re

from training.report.page import Page, Tile


def test_table_escapes_text_and_shows_undefined_metrics_as_dash() -> None:
    page = Page("a & b")
    page.table(["x"], [[-1.0], [0.5], ["<i>"], ["y" * 30]])
    assert "<td>\N{EN DASH}</td>" in page.html()
    assert "<td>0.5000</td>" in page.html()
    assert "<td>&lt;i&gt;</td>" in page.html()
    assert f"<td class=long>{'y' * 30}</td>" in page.html()
    assert "<h1>a &amp; b</h1>" in page.html()


def test_file_names_may_be_any_bytes() -> None:
    page = Page("x")
    page.image(os.fsdecode(b"<\xff>.png"), b"jpeg")
    page.html().encode()
    assert "<figcaption>&lt;\\udcff&gt;.png</figcaption>" in page.html()


def test_bars_are_as_long_as_their_values() -> None:
    page = Page("x")
    page.table(["name", "AP"], [["a", 0.25], ["b", -1.0]], bars=["AP"])
    assert '<td class="bar" style="--part: 25.0%">0.2500</td>' in page.html()
    assert "<td>\N{EN DASH}</td>" in page.html()


def test_summary_is_above_the_contents_and_the_sections() -> None:
    page = Page("x")
    page.summary("All is <well>.", [Tile("AP", "0.5", "of 1")])
    page.heading("First part")
    page.paragraph("text")
    page.heading("Next")
    document = page.html()
    places = [document.index(part) for part in ("All is &lt;well&gt;.", "<dt>AP</dt>", "<nav", "<section")]
    assert places == sorted(places)
    links = re.findall(r'<a href="#(.*?)">(.*?)</a>', document)
    assert links == [("first-part", "First part"), ("next", "Next")]
    for name, title in links:
        assert f'<h2 id="{name}">{title}</h2>' in document


def test_names_in_backticks_are_code() -> None:
    page = Page("x")
    page.paragraph("`a<b` is not c")
    assert "<p><code>a&lt;b</code> is not c</p>" in page.html()


def test_folded_table_is_behind_its_text() -> None:
    page = Page("x")
    page.table(["a"], [[1]], folded="Show 1 option")
    assert re.search(r"<details><summary>Show 1 option</summary>.*<table>.*</details>", page.html())


def test_image_has_its_caption_as_alternative() -> None:
    page = Page("x")
    page.images([('a "b"', b"jpeg")])
    assert '<img alt="a &quot;b&quot;" src="data:image/jpeg;base64,anBlZw==">' in page.html()
    assert "<figcaption>a &quot;b&quot;</figcaption>" in page.html()


def test_titles_without_latin_letters_have_targets() -> None:
    page = Page("x")
    page.heading("\N{CJK UNIFIED IDEOGRAPH-4E2D}")
    assert '<a href="#section-0">' in page.html()
    assert 'id="section-0"' in page.html()
