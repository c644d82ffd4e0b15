"""Where the project keeps what can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return $LINEAGE_CACHE, $XDG_CACHE_HOME/yolo-lineage or ~/.cache/yolo-lineage, the first that is set."""
    if asked := os.environ.get("LINEAGE_CACHE"):
        return Path(asked)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yolo-lineage"
