"""Folder of files that can be downloaded or built again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return $LINEAGE_CACHE, $XDG_CACHE_HOME/yolo-lineage or ~/.cache/yolo-lineage: the first whose variable is set."""
    if folder := os.environ.get("LINEAGE_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yolo-lineage"
