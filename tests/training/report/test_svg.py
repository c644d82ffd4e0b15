"""Figures within a page: text stays text, and nothing needs another file."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from training.report.svg import figure_svg


@pytest.fixture(scope="module")
def svg() -> str:
    figure = Figure(figsize=(4, 3))
    axes = figure.subplots()
    axes.plot([0.123456, 1], [0, 1], color="black", label="$broken_{ <b> \N{CJK UNIFIED IDEOGRAPH-4E2D} 1.23456")
    axes.imshow(np.eye(2), interpolation="none")
    axes.set(xscale="log", ylabel="1.23456")
    axes.legend(frameon=False)
    return figure_svg(figure, 'A "plot"', "1-0")


def test_svg_is_well_formed_and_described(svg: str) -> None:
    root = ElementTree.fromstring(svg.replace("xlink:href", "href"))
    assert (root.tag, root.get("role"), root.get("aria-label")) == ("svg", "img", 'A "plot"')
    assert root.get("viewBox") == "0 0 288 216"


def test_text_stays_text_with_all_its_digits(svg: str) -> None:
    texts = re.findall(r"<text[^>]*>(.*?)</text>", svg)
    assert "$broken_{ &lt;b&gt; \N{CJK UNIFIED IDEOGRAPH-4E2D} 1.23456" in texts
    assert "1.23456" in texts


def test_black_follows_the_page_and_background_is_clear(svg: str) -> None:
    assert "#000000" not in svg
    assert "stroke: currentColor" in svg
    assert "#ffffff" not in svg


def test_nothing_is_loaded_and_names_are_used_once(svg: str) -> None:
    assert "http" not in svg
    names = re.findall(r' id="(.*?)"', svg)
    assert len(names) == len(set(names))
    assert all(f"#{name}" in svg for name in names)


def test_numbers_are_short(svg: str) -> None:
    coordinates = " ".join(re.findall(r' d="(.*?)"', svg, re.DOTALL))
    assert coordinates
    assert not re.search(r"\.\d{3}", coordinates)
