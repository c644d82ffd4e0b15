"""A browser, and a stand-in for the npm packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from examples.ui_elements import generate, page_content
from examples.ui_elements.browser import Camera, chromium


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
