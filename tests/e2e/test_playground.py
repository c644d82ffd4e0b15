"""The playground in a real browser: choose, drop and paste images, filter detections, use the keyboard."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from model_zoo.contract.card import ParentWeights, WeightsOrigin
from model_zoo.contract.repository import Repository
from tests.e2e.server import ROOT, Server
from tests.tiny_onnx import toy_card, toy_onnx

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# No access to other hosts; the sandbox does not work for root, the user in containers.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SAMPLES = sorted((ROOT / "service" / "web" / "static" / "playground" / "samples").iterdir())

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium; on Debian and Ubuntu: apt install chromium")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("models")
    tuned = WeightsOrigin("AGPL-3.0", "run a", parents=(ParentWeights("yolov5n.pt", "0" * 64, "AGPL-3.0"),))
    for name, changes in (("toy", {}), ("other", {"weights": tuned})):
        card, source = toy_card(name, **changes), folder / "model.onnx"
        source.write_bytes(toy_onnx(card))
        Repository(folder / "repository").publish(card, {"model.onnx": source})
    with Server(folder / "repository") as server:
        yield server.wait_until_ready()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The playground. Errors in the page and requests to other hosts fail the test."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page, errors = context.new_page(), list[str]()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: errors.append(request.url) if is_external(request.url, server) else None)
        page.goto(address(server))
        page.wait_for_selector("#model option", state="attached")
        yield page
        assert [
            text for text in errors if "415" not in text
        ] == []  # the browser logs the responses that a test provokes


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image on which the toy model detects red, green and blue with scores 0.8, 0.4 and 0.2."""
    path = tmp_path_factory.mktemp("images") / "it's a color.png"
    cv2.imwrite(str(path), np.full((200, 200, 3), (51, 102, 204), dtype=np.uint8))
    return path


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/"


def is_external(url: str, server: Server) -> bool:
    return not url.startswith((address(server), "data:", "blob:"))


def choose(page: Any, image: Path) -> None:
    page.set_input_files("#file", image)
    page.wait_for_selector("#result:not([hidden])")


def labels(page: Any) -> list[str]:
    return [text.split()[0] for text in page.locator(".box span").all_inner_texts()][::-1]


def set_score(page: Any, score: float) -> None:
    page.locator("#score").fill(str(score))


def test_slider_filters_detections(page: Any, image: Path) -> None:
    choose(page, image)
    assert labels(page) == ["red", "green"]  # above the initial min score
    set_score(page, 0.05)
    assert labels(page) == ["red", "green", "blue"]
    set_score(page, 0.5)
    assert labels(page) == ["red"]
    assert page.inner_text("#status") == "1 detection in it's a color.png, 200 \N{MULTIPLICATION SIGN} 200"
    assert page.inner_text("#score-value") == "0.50"
    assert page.locator("#rows tr").count() == 1


def test_boxes_match_the_table(page: Any, image: Path) -> None:
    choose(page, image)
    shown, box = page.locator("#image").bounding_box(), page.locator(".box").first.bounding_box()
    left, top, right, bottom = map(float, page.locator("#rows tr td").nth(2).inner_text().split(", "))
    scale = shown["width"] / 200
    assert box["x"] - shown["x"] == pytest.approx(left * scale, abs=1.5 * scale)  # the table rounds to pixels
    assert box["y"] - shown["y"] == pytest.approx(top * scale, abs=1.5 * scale)
    assert box["width"] == pytest.approx((right - left) * scale, abs=2 * scale)
    assert box["height"] == pytest.approx((bottom - top) * scale, abs=2 * scale)


def test_curl_command_gives_the_same_result(page: Any, image: Path) -> None:
    choose(page, image)
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    command = page.inner_text("#curl")
    done = subprocess.run(["bash", "-c", command], cwd=image.parent, capture_output=True, text=True, check=True)
    assert re.findall(r'"label": ?"(\w+)"', done.stdout) == ["red", "green"]
    page.locator("summary").click()
    assert '"label": "green"' in page.inner_text("#json")


def test_classes_can_be_hidden(page: Any, image: Path) -> None:
    choose(page, image)
    page.get_by_role("button", name="red 1").click()
    assert labels(page) == ["green"]
    page.get_by_role("button", name="red 1").click()
    assert labels(page) == ["red", "green"]


def test_playground_works_from_the_keyboard(page: Any, image: Path) -> None:
    with page.expect_file_chooser() as chooser:  # registered before the key press that opens it
        for target in ("model", "score", "file"):
            while page.evaluate("document.activeElement.id") != target:
                page.keyboard.press("Tab")
        page.keyboard.press("Space")
    chooser.value.set_files(image)
    page.wait_for_selector("#result:not([hidden])")
    page.locator("#score").focus()
    page.keyboard.press("End")
    assert labels(page) == []
    page.keyboard.press("Home")
    assert labels(page) == ["red", "green", "blue"]
    page.locator("#rows tr").nth(1).focus()  # a focused row highlights its box
    assert page.locator(".box.lit").count() >= 1


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_image_can_be_dropped_and_pasted(page: Any, image: Path, way: str) -> None:
    page.evaluate(
        """([way, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
            const event = way === "drop"
                ? new DragEvent(way, { bubbles: true, cancelable: true, dataTransfer: transfer })
                : new ClipboardEvent(way, { bubbles: true, clipboardData: transfer });
            document.body.dispatchEvent(event);
        }""",
        [way, list(image.read_bytes())],
    )
    page.wait_for_selector("#result:not([hidden])")
    assert labels(page) == ["red", "green"]


def test_samples_are_detected_on_click(page: Any) -> None:
    buttons = page.locator("#samples button")
    playwright.expect(buttons).to_have_count(len(SAMPLES))
    for number, sample in enumerate(SAMPLES):
        button = buttons.nth(number)
        button.scroll_into_view_if_needed()
        page.wait_for_function(
            "image => image.complete && image.naturalWidth", arg=button.locator("img").element_handle()
        )
        button.click()
        playwright.expect(page.locator("#status")).to_contain_text(f"in {sample.name}, ")
        height, width = cv2.imread(str(sample)).shape[:2]
        assert page.inner_text("#status").endswith(f", {width} \N{MULTIPLICATION SIGN} {height}")
        assert page.evaluate("document.getElementById('image').naturalWidth") == width


def test_sample_can_be_chosen_from_the_keyboard(page: Any) -> None:
    page.wait_for_selector("#samples button")
    while page.evaluate("document.activeElement.closest('#samples') === null"):
        page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#status")).to_contain_text(f"in {SAMPLES[1].name}, ")


def test_changed_model_detects_on_the_same_image(page: Any, image: Path) -> None:
    choose(page, image)
    assert '"name": "other"' in page.text_content("#json")  # the first in the list
    page.select_option("#model", "toy")
    playwright.expect(page.locator("#json")).to_contain_text('"name": "toy"')
    assert labels(page) == ["red", "green"]


def test_unusable_file_shows_the_error(page: Any, image: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    page.set_input_files("#file", broken)
    page.wait_for_selector("#problem:not([hidden])")
    assert "expected" in page.inner_text("#problem")
    choose(page, image)
    assert page.locator("#problem").is_hidden()


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_layout_fits_phones_and_both_color_schemes(
    browser: Any, server: Server, image: Path, width: int, scheme: str
) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page = context.new_page()
        page.goto(address(server))
        choose(page, image)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        light = sum(map(int, re.findall(r"\d+", background)[:3])) > 3 * 128
        assert light == (scheme == "light")


def test_license_and_parents_of_the_chosen_model_are_shown(page: Any) -> None:
    page.select_option("#model", "toy")
    assert page.text_content("#license") == "License: Apache-2.0."
    page.select_option("#model", "other")
    text = page.text_content("#license")
    assert text.startswith(
        "License: AGPL-3.0, trained from yolov5n.pt (AGPL-3.0). AGPL-3.0: a product or network service"
    )
