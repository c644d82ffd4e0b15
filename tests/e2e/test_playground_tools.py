"""Tools of the playground: labels, programs, downloads, history, gestures, and failures."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from service.access.key_file import add_key
from tests.e2e.browser import SCREENSHOTS, needs_chromium, watched_page
from tests.e2e.playground import ARABIC, address, choose, color_image, json_text, labels, slide, toy_server, view
from tests.e2e.server import ROOT, Server

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
STATIC = ROOT / "service" / "web" / "static" / "playground"
PROVOKED = ("ERR_FAILED", "ERR_INTERNET_DISCONNECTED", "status of 50", "404", "415")
OPTIONS = {"has_touch": True, "permissions": ["clipboard-read", "clipboard-write"]}

pytestmark = [needs_chromium, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with toy_server(tmp_path_factory.mktemp("models")) as server:
        yield server


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    with watched_page(browser, address(server), PROVOKED, **OPTIONS) as page:
        page.goto(f"{address(server)}?model=toy")
        page.wait_for_selector("#model option", state="attached")
        yield page


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return color_image(tmp_path_factory.mktemp("images") / "it's a color.png")


def overlap(a: dict[str, float], b: dict[str, float]) -> float:
    width = min(a["right"], b["right"]) - max(a["left"], b["left"])
    height = min(a["bottom"], b["bottom"]) - max(a["top"], b["top"])
    return max(0.0, width) * max(0.0, height)


def area(box: dict[str, float]) -> float:
    return (box["right"] - box["left"]) * (box["bottom"] - box["top"])


def test_labels_overlap_nothing_and_hide_no_small_box(page: Any) -> None:
    draw = random.Random(7)
    bounds = {"left": 0, "top": 0, "right": 800, "bottom": 600}
    boxes = []
    for _ in range(120):
        x, y, side = draw.uniform(-20, 780), draw.uniform(-20, 580), draw.choice([8, 16, 60, 200])
        boxes.append({"left": x, "top": y, "right": x + side, "bottom": y + side * draw.uniform(0.5, 1.5)})
    sizes = [{"width": draw.uniform(40, 90), "height": 16}] * len(boxes)
    code = (
        "async (given) => (await import('/playground/labels.js')).placeLabels(given.boxes, given.sizes, given.bounds)"
    )
    places = page.evaluate(code, {"boxes": boxes, "sizes": sizes, "bounds": bounds})
    found = [place for place in places if place]
    assert len(places) == 120
    assert len(found) > 30
    assert all(overlap(a, b) == 0 for i, a in enumerate(found) for b in found[:i])
    assert all(overlap(place, bounds) == pytest.approx(area(place)) for place in found)
    inside = [box for box in boxes if overlap(box, bounds) == pytest.approx(area(box))]
    assert all(overlap(place, box) <= 0.15 * area(box) + 1e-6 for place in found for box in inside)


def test_label_without_a_free_place_appears_when_zoomed(page: Any, image: Path) -> None:
    choose(page, image)  # three equal boxes
    slide(page, "score", 0.05)
    page.route("**/detect?*", many_boxes)
    page.select_option("#version", "1")
    playwright.expect(page.locator("#hidden-labels")).to_contain_text("labels hidden")
    hidden = int(page.inner_text("#hidden-labels").split()[0])
    for _ in range(6):
        page.click("#zoom-in")
    page.wait_for_timeout(100)
    text = page.inner_text("#hidden-labels")
    assert not text or int(text.split()[0]) < hidden


def many_boxes(route: Any) -> None:
    found = [
        {"box": [x, y, x + 6, y + 6], "score": 0.9, "class_id": x % 3, "label": "red"}
        for x in range(60, 140, 9)
        for y in range(60, 140, 9)
    ]
    result = {"file": "a.png", "image": {"width": 200, "height": 200}, "detections": found}
    timing = {"decode": 1, "queue": 1, "infer": 1, "total": 4}
    route.fulfill(json={"model": {"name": "toy", "version": 1}, "results": [result], "timing_ms": timing})


COMMANDS = {
    "curl": ["bash", "-c"],
    "Python": [sys.executable, "-c"],
    "JavaScript": ["node", "--input-type=module", "-e"],
    "tritonclient": [sys.executable, "-c"],
}


def run_program(page: Any, program: str, folder: Path) -> str:
    """Copy a program from the page, run it where the image is, and return its output."""
    if program in {"curl", "JavaScript"} and shutil.which("curl" if program == "curl" else "node") is None:
        pytest.skip("needs curl and Node.js")
    if program == "tritonclient":
        pytest.importorskip("tritonclient.http", reason="tritonclient is a development package")
    page.click("#tab-code")
    page.select_option("#language", program)
    page.locator("#code .copy").click()
    command = [*COMMANDS[program], page.evaluate("navigator.clipboard.readText()")]
    environment = os.environ | {"LINEAGE_API_KEY": page.evaluate("sessionStorage.getItem('key') ?? ''")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def classes_in(output: str, program: str) -> list[str]:
    """Return the classes in the output of a program in their order. tritonclient prints their numbers."""
    words = re.findall(r"^\d+\b" if program == "tritonclient" else r"[a-z]+", output, re.MULTILINE)
    numbers = dict(enumerate(("red", "green", "blue")))
    named = [numbers[int(word)] if word.isdigit() else word for word in words]
    return [name for name in named if name in numbers.values()]


@pytest.mark.parametrize("classes", [[], ["green"]])
@pytest.mark.parametrize("program", COMMANDS)
def test_program_finds_what_the_page_shows(page: Any, image: Path, program: str, classes: list[str]) -> None:
    choose(page, image)
    slide(page, "score", 0.1)
    slide(page, "iou", 0.8)
    page.select_option("#nms", "iou")
    page.select_option("#version", "first")
    for name in classes:
        page.get_by_role("button", name=name).click()
    page.wait_for_timeout(700)  # the last request
    output = run_program(page, program, image.parent)
    shown = json.loads(json_text(page))["results"][0]["detections"]
    assert [d["label"] for d in shown] == classes_in(output, program) == (classes or ["red", "green", "blue"])
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", output)]
    for d in shown:  # y2 depends on IoU and NMS in the toy model
        assert all(any(abs(value - n) < 2e-3 for n in numbers) for value in (d["score"], d["box"][3]))


def test_programs_have_the_thresholds_and_classes_of_the_chosen_version(page: Any, image: Path) -> None:
    page.select_option("#model", "other")
    choose(page, image)
    page.click("#tab-code")
    snippet = page.locator("#snippet")
    playwright.expect(snippet).to_contain_text("model=other&score=0.25&iou=0.45")
    page.select_option("#version", "1")
    playwright.expect(snippet).to_contain_text("model=other%401&score=0.5&iou=0.6")
    assert page.inner_text("#score-value") == "0.50"
    playwright.expect(page.locator("#rows tr")).to_have_count(1)
    page.click("#tab-detections")
    page.get_by_role("button", name="green 1").click()
    page.click("#tab-code")
    page.select_option("#language", "tritonclient")
    playwright.expect(snippet).to_contain_text("if int(class_id) in {0}:")  # the number of green in version 1


def test_programs_send_the_key(browser: Any, image: Path, tmp_path: Path) -> None:
    token = add_key(tmp_path / "keys.json", "user", ("detect",))
    with toy_server(tmp_path, keys=tmp_path / "keys.json") as server, browser.new_context() as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.goto(f"{address(server)}?model=toy")
        page.wait_for_selector("#access:not([hidden])")
        page.fill("#key", token)
        page.click("#access button")
        choose(page, image)
        for program in COMMANDS:
            assert classes_in(run_program(page, program, image.parent), program) == ["red", "green"]
            assert token not in page.inner_text("#snippet")


def test_downloads_have_the_detections_that_are_shown(page: Any, image: Path, tmp_path: Path) -> None:
    other = color_image(tmp_path / "b.png")
    choose(page, image, other)
    playwright.expect(page.locator("#gallery .done")).to_have_count(2)
    files = {}
    for kind in ("image", "json", "csv", "coco"):
        with page.expect_download() as download:
            page.locator(f"#downloads [data-kind={kind}]").click()
        files[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[kind])
    assert [file.name for file in files.values()] == [
        "it's a color-detections.png", "it's a color.json", "it's a color.csv", "it's a color.coco.json",
    ]  # fmt: skip
    drawn = cv2.imread(str(files["image"]))
    assert drawn.shape == (200, 200, 3)
    assert (drawn != drawn[-1, -1]).any()
    found = json.loads(files["json"].read_text())["results"][0]["detections"]
    rows = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert [row["label"] for row in rows] == [d["label"] for d in found] == labels(page) == ["red", "green"]
    assert float(rows[0]["x2"]) == found[0]["box"][2]
    coco = json.loads(files["coco"].read_text())
    assert coco["images"] == [{"id": 1, "file_name": "it's a color.png", "width": 200, "height": 200}]
    x1, y1, x2, y2 = found[0]["box"]
    assert coco["annotations"][0]["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1])
    assert [c["name"] for c in coco["categories"]] == ["red", "green", "blue"]


def test_many_images_are_decoded_one_after_the_other(page: Any, image: Path) -> None:
    page.evaluate(
        """() => {
            const decode = createImageBitmap;
            let open = 0;
            window.most = 0;
            window.createImageBitmap = (blob) => {
                window.most = Math.max(window.most, ++open);
                return decode(blob).finally(() => { open -= 1; });
            };
        }"""
    )
    choose(page, *[image] * 30)
    playwright.expect(page.locator("#gallery canvas")).to_have_count(30)
    assert page.evaluate("window.most") <= 2  # a thumbnail, and the selected image
    playwright.expect(page.locator("#gallery .done")).to_have_count(30)


def test_download_of_all_images(page: Any, image: Path, tmp_path: Path) -> None:
    choose(page, image, color_image(tmp_path / "b, c.png"))
    playwright.expect(page.locator("#gallery .done")).to_have_count(2)
    slide(page, "iou", 0.8)
    playwright.expect(page.locator("#gallery .stale")).to_have_count(1)  # only the selected image is detected again
    page.check("#all")
    with page.expect_download() as download:
        page.locator("#downloads [data-kind=csv]").click()
    download.value.save_as(tmp_path / "all.csv")
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == ["it's a color.png"] * 2 + ["b, c.png"] * 2
    assert len({row["y2"] for row in rows}) == 1  # with the same IoU: y2 depends on it in the toy model


def test_filter_of_the_page_equals_that_of_the_server() -> None:
    with Server(None, ROOT / "docs") as server:  # the bundled model
        client = server.wait_until_ready().client
        for name in ("wizard.jpg", "file-manager.jpg"):
            file = (STATIC / "samples" / name).read_bytes()
            sent = {"content": file, "headers": {"Content-Type": "image/jpeg"}}
            [every] = client.post("/detect", params={"score": 0.05}, **sent).json()["results"]
            [few] = client.post("/detect", params={"score": 0.4, "classes": "icon,link"}, **sent).json()["results"]
            kept = [d for d in every["detections"] if d["score"] >= 0.4 and d["label"] in {"icon", "link"}]
            assert len(kept) > 5
            assert kept == few["detections"]


def test_copy_works_without_tls(page: Any) -> None:
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.click("#tab-code")
    page.locator("#code .copy").click()
    page.click("#open-access")  # a field to paste into
    page.keyboard.press("Control+V")
    assert page.input_value("#key").startswith("curl")


def test_history_restores_image_and_options(page: Any, image: Path, tmp_path: Path) -> None:
    choose(page, image)
    slide(page, "iou", 0.8)
    playwright.expect(page.locator("#past button")).to_have_count(2)
    choose(page, color_image(tmp_path / "b.png"))
    playwright.expect(page.locator("#past button")).to_have_count(3)
    page.click("#tab-history")
    page.locator("#past button").last.click()
    playwright.expect(page.locator("#status")).to_contain_text("it's a color.png")
    assert page.inner_text("#iou-value") == "0.45"
    page.wait_for_timeout(400)
    assert page.locator("#past button").count() == 3  # the answer was kept


def test_images_are_cleared_and_brought_back(page: Any, image: Path, tmp_path: Path) -> None:
    choose(page, image, color_image(tmp_path / "b.png"))
    playwright.expect(page.locator("#gallery .done")).to_have_count(2)
    page.get_by_role("button", name="Clear images").focus()
    page.keyboard.press("Enter")
    playwright.expect(page.get_by_role("status").filter(has_text="2 images removed.")).to_be_visible()
    playwright.expect(page.locator("#undo")).to_be_focused()
    playwright.expect(page.locator("#undo")).to_have_accessible_description("2 images removed.")
    playwright.expect(page.locator("#empty")).to_be_visible()
    assert page.locator("#strip").is_hidden()
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#gallery .done")).to_have_count(2)
    playwright.expect(page.locator("#clear")).to_be_focused()
    assert labels(page) == ["red", "green"]
    page.click("#clear")
    choose(page, image)
    playwright.expect(page.locator("#gallery .done")).to_have_count(1)
    assert page.locator("#undo").is_hidden()  # the offer ends with the next image
    assert page.inner_text("#removed") == ""


def test_image_in_work_is_cleared_and_detected_when_it_is_back(page: Any, image: Path) -> None:
    page.route("**/detect?*", lambda route: None)  # never answered
    page.set_input_files("#file", image)
    playwright.expect(page.locator("#gallery .loading")).to_have_count(1)
    page.click("#clear")
    page.unroute("**/detect?*")
    page.click("#undo")
    page.wait_for_selector("#result:not([hidden])")
    assert page.locator("#problem").is_hidden()


def test_error_leaves_with_its_image(page: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    page.set_input_files("#file", tmp_path / "broken.png")
    playwright.expect(page.locator("#problem")).to_be_visible()
    page.click("#clear")
    playwright.expect(page.locator("#problem")).to_be_hidden()


def test_history_is_cleared_and_brought_back(page: Any, image: Path) -> None:
    choose(page, image)
    page.click("#tab-history")
    playwright.expect(page.locator("#past button")).to_have_count(1)
    page.get_by_role("button", name="Clear history").click()
    playwright.expect(page.locator("#past button")).to_have_count(0)
    playwright.expect(page.locator("#no-history")).to_be_visible()
    assert page.inner_text("#removed") == "1 request removed."
    assert page.locator("#gallery .open").count() == 1  # the images stay
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#past button")).to_have_count(1)
    playwright.expect(page.locator("#forget")).to_be_focused()


def test_names_that_run_from_right_to_left(page: Any, image: Path) -> None:
    page.select_option("#model", "rtl")
    choose(page, image)
    playwright.expect(page.locator("#status")).to_contain_text("rtl 1")
    assert [name.strip() for name in labels(page)] == list(ARABIC[:2])
    assert page.locator("#rows bdi").count() == 2
    assert view(page, "view.shapes[0].text") == f"\u2068{ARABIC[0]}\u2069 0.80"
    page.screenshot(path=SCREENSHOTS / "playground-rtl.png")


def test_two_fingers_zoom(page: Any, image: Path) -> None:
    choose(page, image)
    frame = page.locator("#view").bounding_box()
    x, y = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    touch = page.context.new_cdp_session(page)
    for kind, gap in (("touchStart", 40), ("touchMove", 60), ("touchMove", 120), ("touchEnd", None)):
        points = [{"x": x - gap, "y": y}, {"x": x + gap, "y": y}] if gap else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert view(page, "view.zoom") == pytest.approx(3, rel=0.1)


def test_without_an_answer_the_page_says_so_and_tries_again(page: Any, image: Path) -> None:
    page.route("**/detect?*", lambda route: route.abort())
    page.set_input_files("#file", image)
    playwright.expect(page.locator("#problem")).to_contain_text("The server does not answer.")
    page.screenshot(path=SCREENSHOTS / "playground-error.png")
    page.unroute("**/detect?*")
    page.click("#retry")
    page.wait_for_selector("#result:not([hidden])")
    assert page.locator("#problem").is_hidden()


def test_page_works_again_when_online(page: Any, image: Path) -> None:
    page.context.set_offline(True)
    page.set_input_files("#file", image)
    playwright.expect(page.locator("#problem")).to_contain_text("You are offline.")
    page.context.set_offline(False)
    page.wait_for_selector("#result:not([hidden])")


def test_model_of_the_address_that_does_not_exist(page: Any, server: Server) -> None:
    page.goto(f"{address(server)}?model=none&score=7&nms=x")
    playwright.expect(page.locator("#problem")).to_contain_text("There is no usable model none.")
    assert page.inner_text("#score-value") == "0.25"


def test_version_of_the_address_that_does_not_exist(page: Any, server: Server, image: Path) -> None:
    page.goto(f"{address(server)}?model=toy&version=77")
    page.set_input_files("#file", image)
    playwright.expect(page.locator("#problem")).to_contain_text("77")


def test_empty_repository_says_what_to_do(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with Server(tmp_path / "models") as server:
        page = browser.new_page()
        page.goto(address(server))
        playwright.expect(page.locator("#problem")).to_contain_text("The repository has no model yet.")
        page.close()


def test_nothing_moves_for_users_who_do_not_want_it(browser: Any, server: Server, image: Path) -> None:
    with browser.new_context(reduced_motion="reduce") as context:
        page = context.new_page()
        page.goto(f"{address(server)}?model=toy")
        page.route("**/detect?*", lambda route: None)  # never answered
        page.set_input_files("#file", image)
        page.wait_for_selector("#stage.busy")
        assert page.evaluate("getComputedStyle(document.querySelector('#stage'), '::after').animationName") == "none"
