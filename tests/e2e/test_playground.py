"""The playground in a real browser: images in, options, boxes and table, layout, accessibility, errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.e2e.browser import SCREENSHOTS, audit, needs_chromium, watched_page
from tests.e2e.playground import address, choose, color_image, json_text, labels, slide, toy_server, view
from tests.e2e.server import ROOT, Server
from tests.heif_images import encode_heif

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
STATIC = ROOT / "service" / "web" / "static" / "playground"
SAMPLES = sorted((STATIC / "samples").glob("*.jpg"))
TIMES = "\N{MULTIPLICATION SIGN}"
PROVOKED = ("415", "404", "ERR_FAILED", "ERR_INTERNET_DISCONNECTED")  # the browser logs the errors that a test provokes
SUM_OF_SHIFTS = """
    window.shift = 0;
    const add = (list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
    };
    new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
"""

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with toy_server(tmp_path_factory.mktemp("models")) as server:
        yield server


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The playground with the model toy. Errors in the page and requests to other hosts fail the test."""
    with watched_page(browser, address(server), PROVOKED) as page:
        page.goto(f"{address(server)}?model=toy")
        page.wait_for_selector("#model option", state="attached")
        yield page


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return color_image(tmp_path_factory.mktemp("images") / "it's a color.png")


def test_slider_filters_without_a_request(page: Any, image: Path) -> None:
    choose(page, image)
    assert labels(page) == ["red", "green"]  # above the model's min score
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "detect" in request.url else None)
    slide(page, "score", 0.05)
    assert labels(page) == ["red", "green", "blue"]
    slide(page, "score", 0.5)
    assert labels(page) == ["red"]
    assert page.inner_text("#status") == f"1 detection in it's a color.png, 200 {TIMES} 200, toy 2"
    assert page.inner_text("#score-value") == "0.50"
    page.wait_for_timeout(400)  # longer than the delay of requests
    assert sent == []


@pytest.mark.slow
def test_suppression_is_asked_of_the_server(page: Any, image: Path) -> None:
    choose(page, image)
    before = json_text(page)  # the toy model's boxes depend on IoU and kind
    with page.expect_response(re.compile("iou=0.9")):
        slide(page, "iou", 0.9)
    playwright.expect(page.locator("#json")).not_to_have_text(before)
    with page.expect_response(re.compile("nms=iou")):
        page.select_option("#nms", "iou")
    page.click("#reset")
    playwright.expect(page.locator("#json")).to_have_text(before)
    assert page.inner_text("#iou-value") == "0.45"


def nested_boxes(route: Any) -> None:
    """Answer with a large red box and a small green one in it."""
    boxes = [("red", 0.9, [20, 20, 180, 180]), ("green", 0.6, [60, 60, 80, 90])]
    found = [{"box": box, "score": s, "class_id": i, "label": name} for i, (name, s, box) in enumerate(boxes)]
    result = {"file": "a.png", "image": {"width": 200, "height": 200}, "detections": found}
    timing = {"decode": 1, "queue": 1, "infer": 1, "total": 4}
    route.fulfill(json={"model": {"name": "toy", "version": 2}, "results": [result], "timing_ms": timing})


@pytest.mark.slow
def test_boxes_and_rows_are_linked_both_ways(page: Any, image: Path) -> None:
    page.route("**/detect?*", nested_boxes)
    choose(page, image)
    found = view(page, "({ ...view.transform(), box: view.shapes[1].box })")
    corner = page.locator("#view").bounding_box()
    x1, y1, x2, y2 = found["box"]
    x = corner["x"] + found["left"] + found["scale"] * (x1 + x2) / 2
    y = corner["y"] + found["top"] + found["scale"] * (y1 + y2) / 2
    page.mouse.move(x, y)
    assert page.locator("#rows tr.lit").inner_text().split()[0] == "green"
    page.mouse.click(x, y)
    page.mouse.move(0, 0)
    assert page.locator("#rows tr[aria-selected=true]").inner_text().split()[0] == "green"
    assert view(page, "view.lit") == 1
    page.locator("#rows tr").first.hover()
    assert view(page, "view.lit") == 0


@pytest.mark.slow
def test_box_is_drawn_where_the_server_says(page: Any, image: Path) -> None:
    choose(page, image)
    page.locator("#labels").click()
    playwright.expect(page.locator("#labels")).to_have_attribute("aria-pressed", "false")
    page.wait_for_timeout(50)
    found = view(page, "({ ...view.transform(), box: view.shapes[0].box })")
    pixels = page.screenshot(clip=page.locator("#view").bounding_box())
    drawn = cv2.imdecode(np.frombuffer(pixels, np.uint8), cv2.IMREAD_COLOR)
    left = round(found["left"] + found["scale"] * found["box"][0])
    middle = round(found["top"] + found["scale"] * (found["box"][1] + found["box"][3]) / 2)
    assert (
        drawn[middle, left - 1 : left + 2, 1].min() < 75
    )  # green of the box, (242, 36, 36); the image is (204, 102, 51)
    assert drawn[middle, left - 8][1] > 95


@pytest.mark.slow
def test_classes_filter_and_the_address_keeps_all_options(page: Any, image: Path, browser: Any) -> None:
    choose(page, image)
    page.get_by_role("button", name="green 1").click()
    assert labels(page) == ["green"]
    slide(page, "score", 0.3)
    page.select_option("#version", "first")
    playwright.expect(page.locator("#status")).to_contain_text("toy 1")
    playwright.expect(page).to_have_url(re.compile(r"\?model=toy&version=first&score=0.3&classes=green$"))
    other = browser.new_page()
    other.goto(page.url)
    playwright.expect(other.locator("#version")).to_have_value("first")
    choose(other, image)
    assert labels(other) == ["green"]
    assert other.inner_text("#score-value") == "0.30"
    other.close()
    page.get_by_role("button", name="green 1").click()  # the toy model gives no more than three: the server filtered
    playwright.expect(page.locator("#rows tr")).to_have_count(2)
    assert labels(page) == ["red", "green"]


@pytest.mark.slow
def test_version_and_model_answer_for_the_same_image(page: Any, image: Path) -> None:
    choose(page, image)
    assert '"version": 2' in json_text(page)
    page.select_option("#version", "1")
    playwright.expect(page.locator("#json")).to_contain_text('"version": 1')
    page.select_option("#model", "other")
    playwright.expect(page.locator("#json")).to_contain_text('"name": "other"')
    assert page.input_value("#version") == ""
    text = page.text_content("#license")
    assert text.startswith("License: AGPL-3.0, trained from yolov5n.pt (AGPL-3.0). AGPL-3.0: a product or network")


@pytest.mark.slow
def test_gallery_has_several_images_and_a_bad_one(page: Any, image: Path, tmp_path: Path) -> None:
    dark, broken = tmp_path / "dark.png", tmp_path / "broken.png"
    cv2.imwrite(str(dark), np.full((100, 300, 3), 90, np.uint8))
    broken.write_bytes(b"no image")
    choose(page, image, dark, broken)
    tiles = page.locator("#gallery .open")
    playwright.expect(tiles).to_have_count(3)
    playwright.expect(tiles.nth(1)).to_have_accessible_name("dark.png: 3 detections")
    playwright.expect(tiles.nth(2)).to_have_accessible_name("broken.png: failed")
    tiles.nth(2).click()
    playwright.expect(page.locator("#problem")).to_contain_text("expected")
    tiles.nth(1).click()
    playwright.expect(page.locator("#status")).to_contain_text("dark.png, 300")
    assert page.locator("#problem").is_hidden()
    page.get_by_role("button", name="Remove dark.png").click()
    playwright.expect(tiles).to_have_count(2)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tiff", ".heic"])
def test_format_that_browsers_cannot_show_is_converted(page: Any, tmp_path: Path, suffix: str) -> None:
    path, image = tmp_path / f"scan{suffix}", np.full((80, 120, 3), (204, 102, 0), np.uint8)
    if suffix == ".heic":
        path.write_bytes(encode_heif(image))
    else:
        cv2.imwrite(str(path), image[..., ::-1])
    with page.expect_response("**/preview") as preview:
        choose(page, path)
    assert preview.value.status == 200
    page.wait_for_selector("#gallery canvas")
    assert view(page, "[view.source.width, view.width, view.height]") == [120, 120, 80]
    assert labels(page) == ["red", "green"]


@pytest.mark.slow
def test_rotated_image_is_shown_as_displayed(page: Any, tmp_path: Path) -> None:
    path, exif = tmp_path / "phone.jpg", Image.Exif()
    exif[0x0112] = 6  # orientation: turned by 90 degrees
    Image.new("RGB", (120, 80), (204, 102, 51)).save(path, exif=exif)
    choose(page, path)
    playwright.expect(page.locator("#status")).to_contain_text(f"80 {TIMES} 120")
    assert view(page, "[view.source.width, view.source.height]") == [80, 120]


@pytest.mark.slow
def test_samples_belong_to_the_model(page: Any) -> None:
    playwright.expect(page.locator("#no-samples")).to_be_visible()
    page.select_option("#model", "screens")
    buttons = page.locator("#samples button")
    playwright.expect(buttons).to_have_count(len(SAMPLES))
    for number, sample in enumerate(SAMPLES):
        buttons.nth(number).click()
        height, width = cv2.imread(str(sample)).shape[:2]
        playwright.expect(page.locator("#status")).to_contain_text(f"in {sample.name}, {width} {TIMES} {height}")
    assert page.locator("#gallery .open").count() == len(SAMPLES)


@pytest.mark.slow
def test_playground_works_from_the_keyboard(page: Any, image: Path) -> None:
    with page.expect_file_chooser() as chooser:  # registered before the key press that opens it
        for target in ("model", "version", "score", "iou", "nms", "file"):
            while page.evaluate("document.activeElement.id") != target:
                page.keyboard.press("Tab")
        page.keyboard.press("Space")
    chooser.value.set_files(image)
    page.wait_for_selector("#result:not([hidden])")
    page.locator("#score").focus()
    page.keyboard.press("Home")
    assert labels(page) == ["red", "green", "blue"]
    page.locator("#rows tr").first.focus()
    page.keyboard.press("ArrowDown")  # a focused row highlights its box, Enter selects it
    assert view(page, "view.lit") == 1
    page.keyboard.press("Enter")
    assert page.locator("#rows tr").nth(1).get_attribute("aria-selected") == "true"
    page.locator("#tab-detections").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#code").is_visible()


@pytest.mark.slow
def test_table_is_sorted_by_each_column(page: Any, image: Path) -> None:
    choose(page, image)
    slide(page, "score", 0.05)
    page.get_by_role("button", name="Class").click()
    assert labels(page) == ["blue", "green", "red"]
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Class")
    page.get_by_role("button", name="Class").click()
    assert labels(page) == ["red", "green", "blue"]
    page.get_by_role("button", name="Score").click()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Score")


@pytest.mark.slow
def test_image_zooms_by_wheel_keys_and_buttons(page: Any, image: Path) -> None:
    choose(page, image)
    page.hover("#view")
    page.mouse.wheel(0, -400)
    wheel = view(page, "view.zoom")
    assert wheel > 1.5
    page.focus("#view")
    page.keyboard.press("+")
    assert view(page, "view.zoom") == pytest.approx(wheel * 1.25)
    before = view(page, "view.x")
    page.keyboard.press("ArrowLeft")
    assert view(page, "view.x") == before + 60
    page.mouse.down()
    page.mouse.move(700, 500)
    page.mouse.up()
    assert view(page, "view.x") != before + 60
    assert page.locator("#rows tr[aria-selected=true]").count() == 0  # a drag selects nothing
    page.click("#fit")
    assert view(page, "[view.zoom, view.x, view.y]") == [1, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 900, 1280, 2560])
def test_layout_fits_without_shifts(browser: Any, server: Server, image: Path, width: int, scheme: str) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        page = context.new_page()
        page.add_init_script(SUM_OF_SHIFTS)
        page.goto(f"{address(server)}?model=screens")
        page.wait_for_selector("#samples button")
        page.wait_for_timeout(200)
        assert page.evaluate("window.shift") < 0.01
        page.click("#samples button")
        page.wait_for_selector("#result:not([hidden])")
        page.wait_for_selector("#gallery canvas")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 3 * 128) == (scheme == "light")
        page.screenshot(path=SCREENSHOTS / f"playground-{width}-{scheme}.png", full_page=width < 1000)


@pytest.mark.slow
def test_phone_scrolls_to_the_image(browser: Any, server: Server, image: Path) -> None:
    with watched_page(browser, address(server), viewport={"width": 390, "height": 844}) as page:
        page.goto(f"{address(server)}?model=toy")
        choose(page, image)
        playwright.expect(page.locator("#gallery .done")).to_have_count(1)
        assert abs(page.locator("#message").bounding_box()["y"]) < 2


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_serious(browser: Any, server: Server, width: int, scheme: str) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        page = context.new_page()
        page.goto(f"{address(server)}?model=screens")
        page.wait_for_selector("#samples button")
        found = {"empty": audit(page)}
        page.click("#samples button")
        page.wait_for_selector("#result:not([hidden])")
        for tab in ("detections", "code", "response", "history"):
            page.click(f"#tab-{tab}")
            found[tab] = audit(page)
        page.click("#clear")
        found["cleared"] = audit(page)
        page.click("#undo")
        page.click("#open-access")
        page.route("**/detect?*", lambda route: route.abort())
        page.select_option("#nms", "iou")
        page.wait_for_selector("#problem:not([hidden])")
        found["error"] = audit(page)
        assert {state: findings for state, findings in found.items() if findings} == {}
