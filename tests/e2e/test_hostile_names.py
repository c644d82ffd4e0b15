"""Pages that show hostile names of classes, files, weights and aliases: text stays text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lineage
from model_zoo.contract.card import Metric, WeightsOrigin
from model_zoo.contract.repository import Repository
from tests.e2e.browser import needs_chromium, watched_page
from tests.e2e.playground import address, choose, color_image
from tests.e2e.server import Server
from tests.tiny_onnx import toy_card, toy_onnx

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
pytestmark = [needs_chromium, pytest.mark.slow]

HTML = "<img src=x onerror=window.broken=1>\"'`</script><script>window.broken=1</script>"
NAMES = (HTML, "__proto__", "\u202e\u2069constructor " + "long " * 200)
TABS = ("tab-code", "tab-response", "tab-history", "tab-compare", "tab-images", "tab-detections")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    repository, source = Repository(folder / "repository"), folder / "model.onnx"
    card = replace(
        toy_card("toy"),
        class_names=NAMES,
        family=HTML,
        variant=HTML,
        weights=WeightsOrigin("MIT", HTML),
        metrics=(Metric("AP", 0.5, HTML, "2026-11-29"),),
        tools={HTML: HTML},
    )
    for _ in range(2):
        source.write_bytes(toy_onnx(card))
        repository.publish(card, {"model.onnx": source})
    (folder / "repository" / HTML.replace("/", "|")).mkdir()  # a problem that the pages report
    with Server(repository.root) as server:
        yield server.wait_until_ready()


def test_names_are_text_in_the_playground(browser: Any, server: Server, tmp_path: Path) -> None:
    image = color_image(tmp_path / "image.png").rename(tmp_path / f"{HTML.replace('/', '|')}.png")
    with watched_page(browser, address(server)) as page:
        page.goto(address(server))
        choose(page, image)
        assert HTML in page.locator("#rows td:first-child").all_inner_texts()
        assert "__proto__" in page.text_content("#json")
        for tab in TABS:
            page.click(f"#{tab}")
            page.wait_for_timeout(200)
        page.click("#classes button")
        for button in page.locator("#downloads button").all():
            with page.expect_download():
                button.click()
        assert page.evaluate("window.broken") is None
        assert page.evaluate("({}).constructor === Object")


@pytest.mark.parametrize("path", ["model-cards", "docs"])
def test_names_are_text_on_other_pages(path: str, browser: Any, server: Server) -> None:
    with watched_page(browser, address(server)) as page:
        page.goto(f"{address(server)}{path}")
        page.wait_for_load_state("networkidle")
        if path == "model-cards":
            page.locator("li.tag", has_text="__proto__").first.wait_for()
        assert page.evaluate("window.broken") is None


def test_notebook_shows_an_image(server: Server, tmp_path: Path) -> None:
    """A result has no HTML for notebooks, which names of classes could break."""
    with lineage.Client(address(server)) as client:
        result = client.detect(color_image(tmp_path / "a.png"))
    assert HTML in result.labels
    assert not hasattr(result, "_repr_html_")
    assert (result._repr_png_() or b"").startswith(b"\x89PNG")
