"""The tables of variants in `docs/models`."""

from __future__ import annotations

import re

from tests.conftest import ROOT

PAGES = sorted((ROOT / "docs" / "models").glob("yolo*.md"))
ROW = re.compile(r"^\| `([\w.-]+)` \| ([\d ]+) \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) \|", re.MULTILINE)
