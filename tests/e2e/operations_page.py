"""Commands of docs/operations.md."""

from __future__ import annotations

import re

from tests.conftest import ROOT

FENCE = re.compile(r"^( *)```sh\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def sections() -> dict[str, str]:
    """Return the commands of each section of the page."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    titles, bodies = parts[1::2], parts[2::2]
    found = {t: "\n".join(block for _, block in FENCE.findall(b)) for t, b in zip(titles, bodies, strict=True)}
    return {title: script for title, script in found.items() if script}
