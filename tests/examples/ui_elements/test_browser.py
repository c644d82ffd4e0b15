"""Labels and boxes that are read from rendered pages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from playwright.sync_api import Route

from examples.ui_elements import browser as ui_browser
from examples.ui_elements.browser import HERE, Camera, chromium, read_screenshot
from model_zoo.contract.errors import LineageError
from tests.examples.ui_elements.rendering import SCREEN, capture, in_a_thread, needs_chromium, needs_systems

NATIVE = {
    '<button style="width:90px;height:30px">Save</button>': "button",
    '<a href="#" style="display:inline-block;background:#06c;padding:9px">Save</a>': "button",
    '<a href="#">Read more</a>': "link",
    '<button style="border:0;background:none">Read more</button>': "link",
    '<input type="text">': "text_field",
    "<textarea></textarea>": "text_field",
    '<input type="checkbox">': "checkbox",
    '<input type="checkbox" style="appearance:none;width:40px;height:20px;background:#06c">': "toggle",
    '<input type="radio">': "radio",
    "<select><option>One</select>": "dropdown",
    '<button aria-haspopup="true" data-caret="1">Open</button>': "dropdown",
    '<input type="range">': "slider",
    '<button style="border:0;background:none;font-size:24px">×</button>': "icon",  # noqa: RUF001 - a sign to close
    "<h2>Title</h2>": "heading",
    '<div style="font-size:28px">42 %</div>': "heading",
    '<svg width="24" height="24"><path d="M2 2H22V22Z"/></svg>': "icon",
    '<svg width="300" height="150"><path d="M2 2H299V149Z"/></svg>': "image",
    '<a role="tab">Details</a>': "tab",
    "<table><tr><td>1<td>2<tr><td>3<td>4</table>": "table",
}


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize(("markup", "label"), NATIVE.items())
def test_labels_follow_appearance(camera: Camera, tmp_path: Path, markup: str, label: str) -> None:
    assert capture(camera, f"<div style='padding:40px'>{markup}</div>", tmp_path).labels == [label]


NOT_LABELED = {
    "plain text": "<p>Only words.</p>",
    "not visible": '<button style="visibility:hidden">Save</button>',
    "the color of the background": '<a href="#" style="color:#fff;text-decoration:none">Save</a>',
    "covered": '<button>Save</button><div style="position:fixed;inset:0;background:#eee"></div>',
    "clipped": '<div style="overflow:hidden;height:4px"><button>Save</button></div>',
    "a table for layout": '<table role="presentation"><tr><td>1<td>2<tr><td>3<td>4</table>',
    "marked as no element": '<button data-ui="none">Save</button>',
}


@needs_chromium
@pytest.mark.parametrize("markup", NOT_LABELED.values(), ids=NOT_LABELED)
def test_invisible_elements_are_not_labeled(camera: Camera, tmp_path: Path, markup: str) -> None:
    assert capture(camera, markup, tmp_path).labels == []


@needs_chromium
def test_box_matches_the_drawn_element(camera: Camera, tmp_path: Path) -> None:
    markup = '<button style="position:absolute;left:50px;top:60px;width:120px;height:40px">Save</button>'
    np.testing.assert_allclose(capture(camera, markup, tmp_path).boxes, [[50, 60, 170, 100]], atol=1)


@needs_chromium
def test_link_has_one_box_per_line(camera: Camera, tmp_path: Path) -> None:
    shot = capture(camera, '<div style="width:90px"><a href="#">Several words on lines</a></div>', tmp_path)
    assert shot.labels == ["link"] * 3
    assert (np.diff(shot.boxes[:, 1]) > 10).all()


@needs_chromium
def test_heading_has_one_box_around_its_text(camera: Camera, tmp_path: Path) -> None:
    (box,) = capture(camera, "<h1>Two<br>lines</h1>", tmp_path).boxes
    assert box[2] - box[0] < 120
    assert box[3] - box[1] > 40


@needs_chromium
def test_icon_in_a_button_is_part_of_it(camera: Camera, tmp_path: Path) -> None:
    icon = '<svg width="20" height="20"><path d="M2 2H19V19Z"/></svg>'
    assert capture(camera, f"<button>{icon} Save</button>", tmp_path).labels == ["button"]
    assert capture(camera, f'<button style="border:0;background:none">{icon}</button>', tmp_path).labels == ["icon"]


@needs_chromium
def test_checkbox_drawn_by_its_label_is_only_the_box(camera: Camera, tmp_path: Path) -> None:
    style = (
        "<style>input{opacity:0;position:absolute}label{position:relative;padding-left:30px}label::before{content:'';"
    )
    style += "position:absolute;left:0;top:0;width:18px;height:18px;border:1px solid #333}</style>"
    shot = capture(camera, f"{style}<input type=checkbox id=a><label for=a>Remember me</label>", tmp_path)
    assert shot.labels == ["checkbox"]
    np.testing.assert_allclose(shot.boxes[0], [0, 0, 20, 20], atol=2)


@needs_chromium
def test_fixed_header_covers_scrolled_elements(camera: Camera, tmp_path: Path) -> None:
    head = '<div style="position:fixed;top:0;left:0;right:0;height:50px;background:#ddd"></div>'
    tall = (
        '<div style="height:30px"></div><input style="height:80px;width:100px;display:block"><div style="height:900px">'
    )
    (box,) = capture(camera, head + tall, tmp_path, scroll=10).boxes
    assert 45 <= box[1] <= 60
    assert box[3] == pytest.approx(106, abs=8)


@needs_chromium
def test_page_is_scrolled_after_its_fonts_are_loaded(camera: Camera, tmp_path: Path) -> None:
    font = Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf").as_uri()
    sheet = f"@font-face {{ font-family: High; src: url({font}); ascent-override: 300% }} p {{ font-family: High }}"
    late = f"onload = () => document.head.appendChild(document.createElement('style')).textContent = '{sheet}'"

    def slowly(route: Route) -> None:
        camera.page.wait_for_timeout(500)
        route.continue_()

    camera.page.route("**/*.ttf", slowly)
    camera.frame(SCREEN)
    camera.show(f"<!doctype html><script>{late}</script>{'<p>word' * 40}", tmp_path, scroll=99999)
    camera.page.wait_for_function("document.fonts.status == 'loaded'")
    below = camera.page.evaluate("document.documentElement.scrollHeight - scrollY - innerHeight")
    assert camera.page.evaluate("document.querySelector('p').offsetHeight") > 40
    assert below == pytest.approx(0, abs=1)


@needs_chromium
@needs_systems
@pytest.mark.parametrize(
    ("family", "font"),
    [
        ("Arial", "Arimo"),
        ("'Helvetica Neue', Helvetica", "Arimo"),
        ("system-ui", "Arimo"),
        ("Nowhere, sans-serif", "Arimo"),
        ("serif", "Tinos"),
        ("'Courier New'", "Cousine"),
        ("monospace", "Cousine"),
    ],
)
def test_pages_without_fonts_use_those_of_the_packages(camera: Camera, tmp_path: Path, family: str, font: str) -> None:
    camera.show(f'<!doctype html><meta charset=utf-8><p style="font-family: {family}">Bell ✓', tmp_path)
    devtools = camera.page.context.new_cdp_session(camera.page)
    devtools.send("DOM.enable")
    devtools.send("CSS.enable")
    root = devtools.send("DOM.getDocument")["root"]["nodeId"]
    line = devtools.send("DOM.querySelector", {"nodeId": root, "selector": "p"})["nodeId"]
    used = devtools.send("CSS.getPlatformFontsForNode", {"nodeId": line})["fonts"]
    names = {one["familyName"]: one["glyphCount"] for one in used}
    assert names.pop(font) == len("Bell ")
    assert all(name.startswith("DejaVu") for name in names)  # which has the sign


def test_font_folders_are_those_of_pinned_packages() -> None:
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    folders = re.findall(r'<dir prefix="relative">node_modules/(.*)</dir>', (HERE / "fonts.conf").read_text())
    assert len(folders) == 2
    assert all(any(package.startswith(folder) for package in wanted) for folder in folders)


@needs_chromium
def test_missing_packages_are_reported(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui_browser, "MODULES", modules)

    def start() -> None:
        with chromium():
            pass

    with pytest.raises(LineageError, match=r"are not installed. Run: npm install --prefix .*ui_elements"):
        in_a_thread(start)


@needs_chromium
def test_page_that_cannot_be_opened_is_reported() -> None:
    def visit() -> None:
        with chromium() as browser:
            Camera(browser).visit("file:///there/is/no/such.html")

    with pytest.raises(LineageError, match="Chromium could not render a page"):
        in_a_thread(visit)


def test_duplicate_elements_are_labeled_once() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    image[10:40, 10:40] = 255
    elements = [{"label": "checkbox", "box": [10, 10, 40, 40]}, {"label": "toggle", "box": [9, 9, 41, 41]}]
    assert read_screenshot(image, elements, 1.0).labels == ["checkbox"]


def test_large_screenshot_is_resized_with_its_boxes() -> None:
    image = np.zeros((1600, 2560, 3), np.uint8)
    image[200:400, 100:500] = 255
    shot = read_screenshot(image, [{"label": "image", "box": [40, 90, 260, 210]}], 2.0)
    assert shot.image.shape == (800, 1280, 3)
    np.testing.assert_allclose(shot.boxes, [[40, 90, 260, 210]])
