"""Markup and style sheets of design systems."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from pathlib import Path

import pytest

from examples.ui_elements import page_content, random_page
from examples.ui_elements.browser import HERE
from examples.ui_elements.kits import splits as kits
from examples.ui_elements.kits.kit import FOLDER, kit

KITS = [name for systems in (kits.TRAIN, kits.VAL, kits.TEST) for name, _ in systems]


@pytest.mark.parametrize("name", KITS)
def test_every_template_can_be_filled_in(name: str, modules: Path) -> None:
    rng = random.Random(name)
    components = random_page.RandomPage(
        rng, kit(name), page_content.words("en"), page_content.Icons(modules, rng), [Path("/0.jpg")] * 9, narrow=False
    )
    known = kit("plain").templates
    inside = dict.fromkeys(("control", "tabs", "body", "pages", "items"), "<b>1</b>")
    assert set(kit(name).templates) <= set(known)
    for component, templates in kit(name).templates.items():
        for template in templates:
            one = dataclasses.replace(kit(name), templates={component: [template]}, own=frozenset())
            dataclasses.replace(components, kit=one).part(component, **inside)


def test_style_sheets_are_in_pinned_packages() -> None:
    pinned = json.loads((HERE / "package.json").read_text())
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", v) for v in (pinned["dependencies"] | pinned["devDependencies"]).values())
    sheets = {sheet for path in FOLDER.glob("*.toml") for theme in kit(path.stem).themes for sheet in theme.sheets}
    packages = {"/".join(sheet.split("/")[: 2 if sheet[0] == "@" else 1]) for sheet in sheets}
    assert packages <= set(pinned["dependencies"])
