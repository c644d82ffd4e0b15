"""The dataset of interface elements: labels of pages, boxes around what is seen, splits that share nothing."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import matplotlib as mpl
import numpy as np
import pytest
from playwright.sync_api import Browser, Route

from examples.ui_elements import browser as ui_browser
from examples.ui_elements import generate, page_content, random_page
from examples.ui_elements.browser import Camera, Screen, Shot, chromium, read_shot
from examples.ui_elements.classes import NAMES
from examples.ui_elements.coco import save_picture, write_dataset
from examples.ui_elements.kits import splits as kits
from examples.ui_elements.kits.kit import FOLDER, kit
from examples.ui_elements.pages import splits as pages
from examples.ui_elements.pages.parts import overlays
from examples.ui_elements.tighten_boxes import tight_box
from model_zoo.contract.errors import LineageError
from tests.examples.requirements import needs_chromium, needs_systems
from training.data.open import read_dataset

HERE = Path(generate.__file__).parent
KITS = [name for shelf in (kits.TRAIN, kits.VAL, kits.TEST) for name, _ in shelf]
PAGE_TYPES = [page for shelf in (pages.TRAIN, pages.VAL, pages.TEST) for page, _ in shelf]
SCREEN = Screen(height=400, width=500)
T = TypeVar("T")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def camera(browser: Browser) -> Iterator[Camera]:
    camera = Camera(browser)
    yield camera
    camera.close()


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for the npm packages: one icon in every family, no style sheets."""
    folder = tmp_path / "node_modules"
    for family in page_content._ICON_FOLDERS:
        (folder / family).mkdir(parents=True)
        (folder / family / "bell.svg").write_text('<svg viewBox="0 0 9 9"><path d="M1 1H8V8Z"/></svg>')
    monkeypatch.setattr(generate, "MODULES", folder)
    return folder


def in_a_thread(work: Callable[[], T]) -> T:
    """Work with a browser of its own: Playwright has one to a thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def shoot(camera: Camera, body: str, tmp_path: Path, scroll: int = 0) -> Shot:
    page = f"<!doctype html><meta charset=utf-8><body style='margin:0;font:16px sans-serif'>{body}"
    camera.frame(SCREEN)
    camera.show(page, tmp_path, scroll)
    return camera.shoot(SCREEN)


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
@pytest.mark.parametrize(("markup", "label"), NATIVE.items())
def test_an_element_has_the_label_of_what_it_looks_like(
    camera: Camera, tmp_path: Path, markup: str, label: str
) -> None:
    assert shoot(camera, f"<div style='padding:40px'>{markup}</div>", tmp_path).labels == [label]


NOTHING = {
    "plain text": "<p>Only words.</p>",
    "not visible": '<button style="visibility:hidden">Save</button>',
    "a color like the ground's": '<a href="#" style="color:#fff;text-decoration:none">Save</a>',
    "covered": '<button>Save</button><div style="position:fixed;inset:0;background:#eee"></div>',
    "clipped": '<div style="overflow:hidden;height:4px"><button>Save</button></div>',
    "a table for layout": '<table role="presentation"><tr><td>1<td>2<tr><td>3<td>4</table>',
    "said to be nothing": '<button data-ui="none">Save</button>',
}


@needs_chromium
@pytest.mark.parametrize("markup", NOTHING.values(), ids=NOTHING)
def test_what_is_not_seen_is_not_labeled(camera: Camera, tmp_path: Path, markup: str) -> None:
    assert shoot(camera, markup, tmp_path).labels == []


@needs_chromium
def test_a_box_is_where_the_element_is_drawn(camera: Camera, tmp_path: Path) -> None:
    markup = '<button style="position:absolute;left:50px;top:60px;width:120px;height:40px">Save</button>'
    np.testing.assert_allclose(shoot(camera, markup, tmp_path).boxes, [[50, 60, 170, 100]], atol=1)


@needs_chromium
def test_a_link_has_a_box_for_each_of_its_lines(camera: Camera, tmp_path: Path) -> None:
    shot = shoot(camera, '<div style="width:90px"><a href="#">Several words on lines</a></div>', tmp_path)
    assert shot.labels == ["link"] * 3
    assert (np.diff(shot.boxes[:, 1]) > 10).all()


@needs_chromium
def test_a_heading_has_one_box_around_its_text(camera: Camera, tmp_path: Path) -> None:
    (box,) = shoot(camera, "<h1>Two<br>lines</h1>", tmp_path).boxes
    assert box[2] - box[0] < 120
    assert box[3] - box[1] > 40


@needs_chromium
def test_an_icon_in_a_button_is_part_of_it(camera: Camera, tmp_path: Path) -> None:
    icon = '<svg width="20" height="20"><path d="M2 2H19V19Z"/></svg>'
    assert shoot(camera, f"<button>{icon} Save</button>", tmp_path).labels == ["button"]
    assert shoot(camera, f'<button style="border:0;background:none">{icon}</button>', tmp_path).labels == ["icon"]


@needs_chromium
def test_a_ticked_box_that_a_label_draws_is_the_box_alone(camera: Camera, tmp_path: Path) -> None:
    style = (
        "<style>input{opacity:0;position:absolute}label{position:relative;padding-left:30px}label::before{content:'';"
    )
    style += "position:absolute;left:0;top:0;width:18px;height:18px;border:1px solid #333}</style>"
    shot = shoot(camera, f"{style}<input type=checkbox id=a><label for=a>Remember me</label>", tmp_path)
    assert shot.labels == ["checkbox"]
    np.testing.assert_allclose(shot.boxes[0], [0, 0, 20, 20], atol=2)


@needs_chromium
def test_a_head_that_stays_hides_what_is_scrolled_beneath_it(camera: Camera, tmp_path: Path) -> None:
    head = '<div style="position:fixed;top:0;left:0;right:0;height:50px;background:#ddd"></div>'
    tall = (
        '<div style="height:30px"></div><input style="height:80px;width:100px;display:block"><div style="height:900px">'
    )
    (box,) = shoot(camera, head + tall, tmp_path, scroll=10).boxes
    assert 45 <= box[1] <= 60
    assert box[3] == pytest.approx(106, abs=8)


@needs_chromium
@pytest.mark.usefixtures("modules")
def test_the_same_order_gives_the_same_bytes(camera: Camera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "PICTURES", 10)
    monkeypatch.setitem(generate.SHELVES, "train", ([("house", 1.0)], pages.TRAIN))
    scenes = []
    for folder in ("first", "second"):
        output = tmp_path / folder
        page_content.write_pictures(output / "pictures", generate.PICTURES, seed=3)
        scenes.append([generate.shoot_page(camera, generate.Order("train", i, 3, output)) for i in range(2)])
    assert scenes[0] == scenes[1]
    assert scenes[0][0].sha256 != scenes[0][1].sha256


@needs_chromium
@pytest.mark.usefixtures("modules")
def test_what_an_interrupted_call_has_drawn_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "PICTURES", 10)
    monkeypatch.setitem(generate.SHELVES, "train", ([("house", 1.0)], pages.TRAIN))
    page_content.write_pictures(tmp_path / "pictures", generate.PICTURES, seed=3)
    orders = [generate.Order("train", i, 3, tmp_path) for i in range(2)]
    before = in_a_thread(lambda: generate.draw_portion(orders))

    def refuse() -> None:
        raise AssertionError("a browser was started")

    monkeypatch.setattr(generate, "chromium", refuse)
    assert generate.draw_portion(orders) == before
    with pytest.raises(AssertionError, match="a browser was started"):
        generate.draw_portion([dataclasses.replace(order, seed=4) for order in orders])


@needs_chromium
def test_a_page_is_scrolled_as_it_is_with_its_fonts(camera: Camera, tmp_path: Path) -> None:
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
def test_fonts_of_pages_that_bring_none_are_not_the_machines(
    camera: Camera, tmp_path: Path, family: str, font: str
) -> None:
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


def test_fonts_are_packages_that_are_installed() -> None:
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    folders = re.findall(r'<dir prefix="relative">node_modules/(.*)</dir>', (HERE / "fonts.conf").read_text())
    assert len(folders) == 2
    assert all(any(package.startswith(folder) for package in wanted) for folder in folders)


@needs_chromium
def test_packages_of_an_earlier_version_are_told(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui_browser, "MODULES", modules)

    def start() -> None:
        with chromium():
            pass

    with pytest.raises(LineageError, match=r"some are missing; run: npm install --prefix .*ui_elements"):
        in_a_thread(start)


@needs_chromium
def test_a_page_that_cannot_be_opened_is_told() -> None:
    def visit() -> None:
        with chromium() as browser:
            Camera(browser).visit("file:///there/is/no/such.html")

    with pytest.raises(LineageError, match="expected Chromium to draw a page"):
        in_a_thread(visit)


def test_splits_share_no_design_system_and_no_type_of_page() -> None:
    assert len(set(KITS)) == len(KITS)
    assert len(set(PAGE_TYPES)) == len(PAGE_TYPES)


@pytest.mark.parametrize("name", KITS)
def test_every_template_can_be_filled_in(name: str, modules: Path) -> None:
    rng = random.Random(name)
    pencil = random_page.Draw(
        rng, kit(name), page_content.words("en"), page_content.Icons(modules, rng), [Path("/0.jpg")] * 9, narrow=False
    )
    known = kit("plain").templates
    inside = dict.fromkeys(("control", "tabs", "body", "pages", "items"), "<b>1</b>")
    assert set(kit(name).templates) <= set(known)
    for component, templates in kit(name).templates.items():
        for template in templates:
            one = dataclasses.replace(kit(name), templates={component: [template]}, own=frozenset())
            dataclasses.replace(pencil, kit=one).part(component, **inside)


@pytest.mark.parametrize("page", PAGE_TYPES, ids=lambda page: page.__name__)
def test_every_page_can_be_drawn_in_every_language(page: pages.PageType, modules: Path) -> None:
    for number, language in enumerate(page_content.LANGUAGES):
        rng = random.Random(number)
        name, icons = rng.choice(KITS), page_content.Icons(modules, rng)
        pencil = random_page.Draw(
            rng, kit(name), page_content.words(language), icons, [Path("/0.jpg")] * 9, number % 2 == 0
        )
        text = page(pencil) + overlays(pencil)
        assert text.count("<div") == text.count("</div>")


def test_style_sheets_come_from_packages_that_are_pinned() -> None:
    told = json.loads((HERE / "package.json").read_text())
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", v) for v in (told["dependencies"] | told["devDependencies"]).values())
    named = {sheet for path in FOLDER.glob("*.toml") for look in kit(path.stem).looks for sheet in look.sheets}
    packages = {"/".join(sheet.split("/")[: 2 if sheet[0] == "@" else 1]) for sheet in named}
    assert packages <= set(told["dependencies"])


def test_a_tight_box_ends_where_the_ground_begins() -> None:
    picture = np.full((50, 80, 3), 240, np.uint8)
    picture[20:30, 15:60] = 30
    assert tight_box(picture, "toggle", [5, 10, 70, 45]) == (15, 20, 60, 30)
    assert tight_box(picture, "toggle", [5, 32, 70, 45]) is None


def test_a_line_of_text_is_as_high_as_its_font_and_as_wide_as_its_words() -> None:
    picture = np.full((50, 80, 3), 240, np.uint8)
    picture[20:30, 15:60] = 30
    assert tight_box(picture, "link", [5, 16, 70, 34], text=True) == (15, 16, 60, 34)
    assert tight_box(picture, "link", [5, 32, 70, 45], text=True) is None


@pytest.mark.parametrize(("top", "thick"), [(20, (17, 24)), (1, (0, 5)), (48, (45, 50))])
def test_the_box_of_a_thin_icon_is_thickened_within_the_picture(top: int, thick: tuple[int, int]) -> None:
    picture = np.full((50, 80, 3), 240, np.uint8)
    picture[top : top + 1, 30:44] = 20
    assert tight_box(picture, "icon", [26, top - 8, 48, top + 8]) == (30, thick[0], 44, thick[1])


def test_a_body_that_fills_its_box_is_not_tightened_to_its_text() -> None:
    picture = np.full((50, 80, 3), 240, np.uint8)
    picture[10:40, 10:70] = 120
    picture[20:30, 30:50] = 10
    assert tight_box(picture, "button", [10, 10, 70, 40]) == (10, 10, 70, 40)


def test_a_thumb_that_stands_out_belongs_to_the_slider() -> None:
    picture = np.full((60, 120, 3), 255, np.uint8)
    picture[28:32, 10:110] = 90
    picture[20:40, 50:70] = 20
    assert tight_box(picture, "slider", [10, 28, 110, 32]) == (10, 20, 110, 40)


def test_what_is_found_twice_is_labeled_once() -> None:
    picture = np.zeros((60, 60, 3), np.uint8)
    picture[10:40, 10:40] = 255
    found = [{"label": "checkbox", "box": [10, 10, 40, 40]}, {"label": "toggle", "box": [9, 9, 41, 41]}]
    assert read_shot(picture, found, 1.0).labels == ["checkbox"]


def test_a_large_picture_is_made_smaller_with_its_boxes() -> None:
    picture = np.zeros((1600, 2560, 3), np.uint8)
    picture[200:400, 100:500] = 255
    shot = read_shot(picture, [{"label": "image", "box": [40, 90, 260, 210]}], 2.0)
    assert shot.picture.shape == (800, 1280, 3)
    np.testing.assert_allclose(shot.boxes, [[40, 90, 260, 210]])


def test_the_data_set_is_sound_for_training(tmp_path: Path) -> None:
    scenes = []
    for number, split in enumerate(("train", "val", "test")):
        picture = np.full((60, 80, 3), 80 * number, np.uint8)
        shot = Shot(picture, ["table", "button"], np.array([[1, 2, 70, 50], [5, 5, 30.5, 20]], np.float32))
        scenes.append(save_picture(tmp_path, f"{split}-0", shot, {"kit": "house"}))
    write_dataset(tmp_path, scenes, {"seed": 0})
    dataset, findings = read_dataset(tmp_path)
    assert findings == []
    assert tuple(dataset.class_names) == NAMES
    (record,) = dataset.splits["val"].records
    np.testing.assert_allclose(record.boxes, [[1, 2, 70, 50], [5, 5, 30.5, 20]])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["splits"]["train"]["elements"]["button"] == 1
    assert set(manifest["files"]) == {f"images/{s}-0.jpg" for s in ("train", "val", "test")} | {
        f"annotations/{s}.json" for s in ("train", "val", "test")
    }


def rows(document: str, section: str) -> list[list[str]]:
    """Return the cells of the first table of a section, without its head."""
    text = (HERE / document).read_text(encoding="utf-8").split(f"## {section}\n")[1]
    lines = [line.strip("|").split("|") for line in text.split("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def test_the_readme_defines_every_class() -> None:
    assert [row[0].strip("`") for row in rows("README.md", "What is labeled")] == list(NAMES)


def test_the_data_card_tells_what_is_in_each_split() -> None:
    told = {
        row[0].split()[0]: [re.findall(r"[\w-]+", re.sub(r"\(.*?\)", "", cell)) for cell in row[1:]]
        for row in rows("DATA_CARD.md", "Splits")
    }
    dealt = {
        split: [[name for name, _ in systems], [page.__name__ for page, _ in types]]
        for split, (systems, types) in generate.SHELVES.items()
    }
    assert told == dealt


def test_the_data_card_names_every_package() -> None:
    packages = json.loads((HERE / "package.json").read_text())
    named = {name for row in rows("DATA_CARD.md", "What it stands on") for name in re.split(r"[,:]? ", row[0])}
    fonts = {name for name in packages["dependencies"] if name.startswith("@fontsource/")}
    assert (packages["dependencies"] | packages["devDependencies"]).keys() - fonts <= named
    assert f"{len(fonts)} of @fontsource" in (HERE / "DATA_CARD.md").read_text()
