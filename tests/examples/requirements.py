"""What tests that render pages need of the machine."""

from __future__ import annotations

import shutil

import pytest

from examples.ui_elements.browser import INSTALL, MODULES

needs_chromium = pytest.mark.skipif(
    not (shutil.which("chromium") or shutil.which("chromium-browser")),
    reason="needs Chromium; on Debian and Ubuntu: apt install chromium",
)
needs_systems = pytest.mark.skipif(not MODULES.is_dir(), reason=f"needs the design systems: {INSTALL}")
