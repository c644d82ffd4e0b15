"""The comparison of the playground in a real browser: two models or versions on the same image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_zoo.contract.repository import Repository
from tests.e2e.browser import SCREENSHOTS, audit, needs_chromium, watched_page
from tests.e2e.playground import address, color_image, slide
from tests.e2e.server import Server
from tests.tiny_onnx import toy_card, toy_onnx

pytestmark = [needs_chromium, pytest.mark.slow]
STATUS = "#compare [role=status]"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of `toy` with two versions: the second one calls blue violet. `other` is like the first."""
    folder = tmp_path_factory.mktemp("models")
    repository, source = Repository(folder / "repository"), folder / "model.onnx"
    first = toy_card("toy")
    for card in (first, replace(first, class_names=("red", "green", "violet")), toy_card("other")):
        source.write_bytes(toy_onnx(card))
        repository.publish(card, {"model.onnx": source})
    with Server(repository.root) as server:
        yield server.wait_until_ready()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return color_image(tmp_path_factory.mktemp("images") / "color.png")


@pytest.fixture
def page(browser: Any, server: Server, image: Path) -> Iterator[Any]:
    with watched_page(browser, address(server), ["503"]) as page:
        open_comparison(page, server, image)
        yield page


def open_comparison(page: Any, server: Server, image: Path) -> None:
    page.goto(f"{address(server)}?model=toy&version=1&score=0.1#compare")
    page.set_input_files("#file", image)
    page.locator(STATUS, has_text="in both").wait_for()


def rows(page: Any) -> list[list[str]]:
    return [line.split("\t") for line in page.locator("#difference tbody tr").all_inner_texts()]


def test_differences_of_two_versions_are_counted(page: Any) -> None:
    assert page.inner_text(STATUS) == "2 in both, 1 on the left only, 1 on the right only"
    assert rows(page) == [
        ["blue", "0", "1", "0"],
        ["violet", "0", "0", "1"],
        ["green", "1", "0", "0"],
        ["red", "1", "0", "0"],
    ]
    titles = page.locator("#compare h2").all_inner_texts()
    assert [title.split(",")[0] for title in titles] == ["toy version 1: 3 detections", "toy version 2: 3 detections"]


def test_each_detection_has_one_partner(page: Any) -> None:
    pairs, counts = page.evaluate(
        """async () => {
            const { count, match } = await import("/playground/match.js");
            const found = (label, ...box) => ({ label, box });
            const first = [found("a", 0, 0, 10, 10), found("a", 0, 0, 10, 9), found("b", 50, 50, 60, 60)];
            const second = [found("a", 0, 0, 10, 9), found("c", 50, 50, 60, 60), found("a", 0, 0, 10, 4.9)];
            const pairs = match(first, second);
            return [pairs, count(first, second, pairs)];
        }"""
    )
    assert pairs == [[1, 0]]  # the largest overlap; the last one has an IoU below 0.5
    assert counts == [["a", 1, 1, 1], ["b", 0, 1, 0], ["c", 0, 0, 1]]


def test_score_and_classes_filter_both_sides(page: Any) -> None:
    slide(page, "score", 0.5)
    page.locator(STATUS, has_text="1 in both, 0 on the left only, 0 on the right only").wait_for()
    assert rows(page) == [["red", "1", "0", "0"]]


def test_sides_can_be_changed_and_swapped(page: Any) -> None:
    left, right = page.locator(".reference").all()
    right.select_option("other")
    page.locator(STATUS, has_text="3 in both, 0 on the left only, 0 on the right only").wait_for()
    left.select_option("toy@2")
    page.locator(STATUS, has_text="2 in both").wait_for()
    page.click("#swap")
    page.locator("#compare h2").nth(0).filter(has_text="other").wait_for()
    assert (left.input_value(), right.input_value()) == ("other", "toy@2")


def test_sides_zoom_together(page: Any) -> None:
    page.locator(".side > div").nth(0).focus()
    for _ in range(3):
        page.keyboard.press("+")
    page.wait_for_selector(".side:last-of-type > .zoomed")
    assert page.locator(".side > .zoomed").count() == 2


def test_model_that_fails_has_its_error(page: Any) -> None:
    page.route("**/detect?*", lambda route: route.fulfill(status=503, json={"detail": "too many images wait"}))
    page.locator(".reference").nth(1).select_option("other")
    page.get_by_role("alert").filter(has_text="too many images wait").wait_for()
    page.unroute("**/detect?*")
    page.click("#swap")
    page.locator(STATUS, has_text="in both").wait_for()
    assert page.locator("#compare [role=alert]").is_hidden()


def test_link_opens_the_same_comparison(page: Any, server: Server, image: Path) -> None:
    page.locator(".reference").nth(1).select_option("other")
    slide(page, "score", 0.3)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("button", name="Copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    query = "?model=toy&version=1&score=0.3&left=toy%401&right=other#compare"
    assert link == address(server) + query
    page.wait_for_url("**/" + query)  # the address of the page has them, too
    page.goto("about:blank")
    page.goto(link)
    page.set_input_files("#file", image)
    page.locator(STATUS, has_text="2 in both, 0 on the left only, 0 on the right only").wait_for()
    assert [side.input_value() for side in page.locator(".reference").all()] == ["toy@1", "other"]
    page.click("#tab-images")
    page.wait_for_url("**/?model=toy&version=1&score=0.3")


def test_link_to_a_version_that_does_not_exist_is_explained(browser: Any, server: Server, image: Path) -> None:
    with watched_page(browser, address(server), ["404"]) as page:
        page.goto(f"{address(server)}?model=toy&left=toy@9&right=toy@1#compare")
        page.set_input_files("#file", image)
        page.locator("#compare [role=alert]", has_text="9").wait_for()
        page.locator(".reference").nth(0).select_option("toy@2")
        page.locator(STATUS, has_text="in both").wait_for()


def test_both_sides_have_the_same_overlap(page: Any) -> None:
    with page.expect_request(lambda r: "model=other" in r.url) as request:
        page.locator(".reference").nth(1).select_option("other")
    assert "iou=0.45" in request.value.url  # that of the settings, whatever the default of the model


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_comparison_is_accessible(browser: Any, server: Server, image: Path, width: int, scheme: str) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        page = context.new_page()
        open_comparison(page, server, image)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert audit(page) == []
        page.screenshot(path=SCREENSHOTS / f"compare-{scheme}-{width}.png", full_page=True)


@pytest.mark.parametrize("panel", ["compare", "live"])
def test_panel_of_a_tablet_begins_below_the_header(browser: Any, server: Server, panel: str) -> None:
    with watched_page(browser, address(server), viewport={"width": 768, "height": 900}) as page:
        page.goto(f"{address(server)}#{panel}")
        page.wait_for_selector(f"#{panel} .bar")
        assert page.locator(f"#{panel}").bounding_box()["y"] == page.locator("main").bounding_box()["y"]


def test_format_that_only_the_browser_knows_is_sent_as_jpeg(
    browser: Any, server: Server, image: Path, tmp_path: Path
) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="needs Pillow")
    if not pytest.importorskip("PIL.features").check("avif"):
        pytest.skip("needs a Pillow that writes AVIF")
    pillow.open(image).save(tmp_path / "color.avif")
    with browser.new_context() as context:
        page = context.new_page()
        open_comparison(page, server, tmp_path / "color.avif")
        assert page.inner_text(STATUS) == "2 in both, 1 on the left only, 1 on the right only"
