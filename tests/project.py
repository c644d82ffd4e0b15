"""The packages of the project, and its entry in pyproject.toml."""

from __future__ import annotations

import tomllib

from tests.conftest import ROOT

PACKAGES = ("lineage", "model_zoo", "service", "training")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
