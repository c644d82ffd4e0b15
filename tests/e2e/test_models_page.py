"""The page of the models and the API documentation in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_zoo.contract.card import Metric
from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Canary, Rollout
from model_zoo.contract.set_rollout import set_rollout
from service.access.key_file import add_key
from tests.e2e.browser import SCREENSHOTS, audit, needs_chromium, watch, watched_page
from tests.e2e.playground import TUNED, address, toy_server
from tests.e2e.server import Server
from tests.tiny_onnx import toy_card, toy_onnx

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
pytestmark = [needs_chromium, pytest.mark.slow]
LAYOUT_SHIFT = """() => new Promise((resolve) => {
    new PerformanceObserver((list) => resolve(list.getEntries().reduce((sum, { value }) => sum + value, 0)))
        .observe({ type: "layout-shift", buffered: true });
    setTimeout(() => resolve(0), 300);
})"""
PROVOKED = ("503", "ERR_INTERNET_DISCONNECTED")
METRICS = (
    Metric("AP", 0.5, "toys val", "2026-11-29"),
    Metric("AP50", 0.75, "toys val", "2026-11-29"),
    Metric("AP", 0.25, "toys test", "2026-11-30"),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of `toy` with two versions and a canary, of `tuned`, and of `broken`, whose file is missing."""
    folder = tmp_path_factory.mktemp("models")
    repository, source = Repository(folder / "repository"), folder / "model.onnx"
    cards = (toy_card("toy"), toy_card("toy", metrics=METRICS), toy_card("tuned", weights=TUNED), toy_card("broken"))
    for card in cards:
        source.write_bytes(toy_onnx(card))
        repository.publish(card, {"model.onnx": source})
    (folder / "repository" / "broken" / "1" / "model.onnx").unlink()
    repository.set_alias("toy", "tested", 1)
    set_rollout(repository, "toy", Rollout("2", Canary("tested", 5)))
    with Server(repository.root, default_model="toy") as server:
        yield server.wait_until_ready()


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    with watched_page(browser, address(server), PROVOKED) as page:
        page.goto(f"{address(server)}model-cards")
        page.locator("#status", has_text="3 models").wait_for()
        yield page


def refuse(route: Any) -> None:
    route.fulfill(status=503, json={"detail": "too many requests wait"})


def article(page: Any, name: str) -> Any:
    return page.locator("article").filter(has=page.get_by_role("heading", name=name, exact=True, level=2))


def test_card_of_the_default_version_is_open(page: Any) -> None:
    toy = article(page, "toy")
    toy.get_by_text("Open in the playground").first.wait_for()
    assert toy.locator("header .tag").all_inner_texts() == [
        "default model",
        "tested → 1",
        "stable: 2",
        "canary: tested, 5 %",
    ]
    summary = toy.locator("summary").first.inner_text()
    assert "Version 2" in summary
    assert "AP 0.500" in summary
    rows = toy.locator("details").first.locator(".scroll").first.locator("tr").all_inner_texts()
    assert rows == ["Dataset\tAP\tAP50\tDate", "toys val\t0.5\t0.75\t2026-11-29", "toys test\t0.25\t\t2026-11-30"]
    assert toy.locator("details[open]").count() == 1
    toy.locator("summary").nth(1).click()
    toy.get_by_text("None recorded.").wait_for()


def test_license_parents_and_terms_are_shown(page: Any) -> None:
    tuned = article(page, "tuned")
    tuned.locator("ol li", has_text="yolov5n.pt (AGPL-3.0)").wait_for()
    tuned.get_by_text("complete source").wait_for()


def test_damaged_version_has_its_reason(page: Any) -> None:
    broken = article(page, "broken")
    broken.locator("summary").click()
    broken.get_by_text("model.onnx is missing").first.wait_for()
    assert page.locator("#problems", has_text="broken@1").is_visible()


def test_models_are_found_by_class_and_license(page: Any) -> None:
    article(page, "tuned").locator("ol li").wait_for()
    page.fill("#filter", "agpl")
    page.locator("#status", has_text="1 of 3 models").wait_for()
    assert page.locator("article:not([hidden]) h2").all_inner_texts() == ["tuned"]
    page.fill("#filter", "green")
    page.locator("#status", has_text="2 of 3 models").wait_for()


def test_version_opens_in_the_playground(page: Any) -> None:
    toy = article(page, "toy")
    toy.locator("summary").nth(1).click()
    toy.get_by_role("link", name="toy version 1").click()
    page.locator("#version option", has_text="tested → 1").wait_for(state="attached")
    assert (page.locator("#model").input_value(), page.locator("#version").input_value()) == ("toy", "1")


def test_error_and_offline_are_explained(page: Any) -> None:
    page.route("**/models", refuse)
    page.reload()
    problem = page.get_by_role("alert")
    problem.get_by_role("heading", name="The models cannot be shown").wait_for()
    assert "too many requests wait" in problem.inner_text()
    assert page.locator("#filter").is_hidden()
    assert page.locator("#loading").is_hidden()
    page.context.set_offline(True)
    page.unroute("**/models")
    page.click("#retry")
    page.locator("#problem", has_text="You are offline.").wait_for()
    playwright.expect(page.locator("#retry")).to_be_focused()
    page.context.set_offline(False)
    page.locator("#status", has_text="3 models").wait_for()  # without a click
    assert page.locator("#problem").is_hidden()


def test_loading_page_has_the_places_of_the_cards(page: Any) -> None:
    page.route("**/models", lambda route: None)  # never answered
    page.reload()
    playwright.expect(page.locator("#loading")).to_be_visible()
    assert page.inner_text("#status") == "Loading models …"


def test_empty_repository_says_what_to_do(page: Any) -> None:
    nothing = {"models": [], "problems": [], "default_model": None}
    page.route("**/models", lambda route: route.fulfill(json=nothing))
    page.reload()
    page.get_by_role("heading", name="No models yet").wait_for()
    assert page.locator("#empty dt").all_inner_texts()[0] == "lineage pull NAME"
    assert page.inner_text("#status") == "0 models"
    assert page.locator("#filter").is_hidden()
    page.unroute("**/models")
    page.get_by_role("button", name="Look again").click()
    page.locator("#status", has_text="3 models").wait_for()
    playwright.expect(page.locator("#filter")).to_be_focused()
    assert page.locator("#empty").is_hidden()


def test_card_that_fails_does_not_hide_the_others(page: Any) -> None:
    page.route("**/models/toy", refuse)
    page.reload()
    toy = article(page, "toy")
    toy.get_by_text("The card cannot be read. too many requests wait").wait_for()
    article(page, "tuned").locator("ol li").wait_for()
    page.unroute("**/models/toy")
    toy.get_by_role("button", name="Try again for toy").click()
    toy.get_by_text("Open in the playground").first.wait_for()
    playwright.expect(toy.locator("summary").first).to_be_focused()
    assert toy.get_by_text("The card cannot be read.").count() == 0


STATES = {
    "empty": ("**/models", lambda route: route.fulfill(json={"models": [], "problems": [], "default_model": None})),
    "error": ("**/models", refuse),
    "loading": ("**/models", lambda route: None),
    "failing-card": ("**/models/toy", refuse),
}
SIGNS = {"empty": "#empty", "error": "#problem", "loading": "#loading", "failing-card": ".failure"}


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_states_are_accessible(browser: Any, server: Server, scheme: str, width: int) -> None:
    for state, (path, handler) in STATES.items():
        with watched_page(
            browser, address(server), ["503"], viewport={"width": width, "height": 900}, color_scheme=scheme
        ) as page:
            page.route(path, handler)
            page.goto(f"{address(server)}model-cards")
            page.wait_for_selector(SIGNS[state])
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert audit(page) == []
            page.screenshot(path=SCREENSHOTS / f"model-cards-{state}-{scheme}-{width}.png")


def test_key_is_asked_for(browser: Any, tmp_path: Path) -> None:
    token = add_key(tmp_path / "keys.json", "page", ("detect",))
    with toy_server(tmp_path, keys=tmp_path / "keys.json") as server, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{address(server)}model-cards")
        page.fill("#key", token)
        page.get_by_role("button", name="Use").click()
        page.locator("#status", has_text="4 models").wait_for()


@pytest.mark.parametrize("width", [390, 1280, 2560])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["model-cards", "docs"])
def test_pages_are_accessible(browser: Any, server: Server, path: str, scheme: str, width: int) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        page = context.new_page()
        errors = watch(page, address(server))
        page.goto(address(server) + path)
        if path == "model-cards":
            article(page, "tuned").locator("ol li").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert audit(page) == []
        assert errors == []
        assert page.evaluate(LAYOUT_SHIFT) < 0.01
        page.screenshot(path=SCREENSHOTS / f"{path}-{scheme}-{width}.png")
