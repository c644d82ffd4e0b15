"""Fixtures of all tests: the folder of the reference data. Properties are tested without a clock."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["LINEAGE_MEASURE"] = "0"  # detections must not depend on what is fastest on a machine
ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("LINEAGE_SHARED", ROOT.parent / "shared"))
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the reference data. Tests that need it are skipped without it."""
    if not (SHARED / "PARITY.md").is_file():
        pytest.skip(f"reference data not found at {SHARED}; set LINEAGE_SHARED")
    return SHARED


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Remove what a test's server configures: its handler would write later records to a closed stream."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if type(handler) is logging.StreamHandler]:
        root.removeHandler(handler)
