"""Fixtures of all tests: the folder of the reference data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("LINEAGE_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the reference data. Tests that need it are skipped without it."""
    if not (SHARED / "PARITY.md").is_file():
        pytest.skip(f"reference data not found at {SHARED}; set LINEAGE_SHARED")
    return SHARED
