"""Chromium for tests of pages: no other host is contacted, errors are collected, axe-core audits."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import ROOT

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")
# No access to other hosts; the sandbox does not work for root, the user in containers.
FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
AXE: Final = "axe-core@4.14.1"
SCREENSHOTS: Final = ROOT / "build" / "screenshots"

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium; on Debian and Ubuntu: apt install chromium"
)


@contextmanager
def launched(*flags: str) -> Iterator[Any]:
    """Run Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        yield chromium
        chromium.close()


def watch(page: Any, address: str) -> list[str]:
    """Return a list that receives errors in the page, and its requests to other hosts."""
    errors = list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    inside = (address, address.replace("http", "ws", 1), "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(inside) else errors.append(request.url))
    return errors


@contextmanager
def watched_page(browser: Any, address: str, provoked: Sequence[str] = (), **options: Any) -> Iterator[Any]:
    """Open an empty page for a server. Errors in it fail the test, except those that contain any of `provoked`."""
    with browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}) as context:
        page = context.new_page()
        errors = watch(page, address)
        yield page
        assert [text for text in errors if not any(known in text for known in provoked)] == []


def audit(page: Any) -> list[str]:
    """Return the serious and critical findings of axe-core in the page as it is."""
    page.evaluate(_axe().read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    return [
        f"{finding['id']}: {finding['nodes'][0]['html'][:200]} {finding['nodes'][0]['failureSummary']}"
        for finding in found
        if finding["impact"] in {"serious", "critical"}
    ]


@cache
def _axe() -> Path:
    folder = ROOT / "build" / "axe"
    script = folder / "axe.min.js"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            name = subprocess.check_output(["npm", "pack", "--silent", AXE], cwd=folder, text=True, timeout=120).strip()
            subprocess.check_call(["tar", "-xzf", name, "--strip-components=1", "package/axe.min.js"], cwd=folder)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"needs {AXE} in build/axe, fetched by npm: {error}")
    return script
