"""Page types, and their distribution over the splits."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from examples.ui_elements import page_content, random_page
from examples.ui_elements.kits import splits as kits
from examples.ui_elements.kits.kit import kit
from examples.ui_elements.pages import splits as pages
from examples.ui_elements.pages.parts import overlays

KITS = [name for systems in (kits.TRAIN, kits.VAL, kits.TEST) for name, _ in systems]


PAGE_TYPES = [page for systems in (pages.TRAIN, pages.VAL, pages.TEST) for page, _ in systems]


def test_splits_share_no_design_system_and_no_page_type() -> None:
    assert len(set(KITS)) == len(KITS)
    assert len(set(PAGE_TYPES)) == len(PAGE_TYPES)


@pytest.mark.parametrize("page", PAGE_TYPES, ids=lambda page: page.__name__)
def test_every_page_type_can_be_drawn_in_every_language(page: pages.PageType, modules: Path) -> None:
    for number, language in enumerate(page_content.LANGUAGES):
        rng = random.Random(number)
        name, icons = rng.choice(KITS), page_content.Icons(modules, rng)
        components = random_page.RandomPage(
            rng, kit(name), page_content.words(language), icons, [Path("/0.jpg")] * 9, number % 2 == 0
        )
        text = page(components) + overlays(components)
        assert text.count("<div") == text.count("</div>")
