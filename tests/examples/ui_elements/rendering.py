"""Requirements and helpers of tests that render pages."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from examples.ui_elements.browser import INSTALL, MODULES, Camera, Screen, Screenshot

SCREEN = Screen(height=400, width=500)
needs_chromium = pytest.mark.skipif(
    not (shutil.which("chromium") or shutil.which("chromium-browser")),
    reason="needs Chromium; on Debian and Ubuntu: apt install chromium",
)
needs_systems = pytest.mark.skipif(not MODULES.is_dir(), reason=f"needs the design systems: {INSTALL}")
T = TypeVar("T")


def in_a_thread(work: Callable[[], T]) -> T:
    """Run work that starts its own browser: Playwright allows one per thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def capture(camera: Camera, body: str, tmp_path: Path, scroll: int = 0) -> Screenshot:
    page = f"<!doctype html><meta charset=utf-8><body style='margin:0;font:16px sans-serif'>{body}"
    camera.frame(SCREEN)
    camera.show(page, tmp_path, scroll)
    return camera.capture(SCREEN)
