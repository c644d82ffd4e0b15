"""Where the project keeps what can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return $LINEAGE_CACHE, $XDG_CACHE_HOME/yolo-lineage or ~/.cache/yolo-lineage, the first that is set."""
    if asked := os.environ.get("LINEAGE_CACHE"):
        return Path(asked)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yolo-lineage"


def replace_file(path: Path, *parts: bytes) -> None:
    """Write a file, and its folder where that is absent: there whole or not at all, also for who reads it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            file.writelines(parts)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
