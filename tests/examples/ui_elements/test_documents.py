"""README and data card, compared with the code."""

from __future__ import annotations

import json
import re

from examples.ui_elements import generate
from examples.ui_elements.browser import HERE
from examples.ui_elements.classes import NAMES


def rows(document: str, section: str) -> list[list[str]]:
    """Return the cells of the first table of a section, without its head."""
    text = (HERE / document).read_text(encoding="utf-8").split(f"## {section}\n")[1]
    lines = [line.strip("|").split("|") for line in text.split("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def test_readme_defines_every_class() -> None:
    assert [row[0].strip("`") for row in rows("README.md", "Classes")] == list(NAMES)


def test_data_card_lists_the_splits() -> None:
    documented = {
        row[0].split()[0]: [re.findall(r"[\w-]+", re.sub(r"\(.*?\)", "", cell)) for cell in row[1:]]
        for row in rows("DATA_CARD.md", "Splits")
    }
    expected = {
        split: [[name for name, _ in systems], [page.__name__ for page, _ in types]]
        for split, (systems, types) in generate.SPLITS.items()
    }
    assert documented == expected


def test_data_card_names_every_package() -> None:
    packages = json.loads((HERE / "package.json").read_text())
    named = {name for row in rows("DATA_CARD.md", "Packages") for name in re.split(r"[,:]? ", row[0])}
    fonts = {name for name in packages["dependencies"] if name.startswith("@fontsource/")}
    assert (packages["dependencies"] | packages["devDependencies"]).keys() - fonts <= named
    assert f"{len(fonts)} of @fontsource" in (HERE / "DATA_CARD.md").read_text()
