"""Names in plots, tables and sheets."""

from __future__ import annotations

from typing import Final

MAX_LENGTH: Final = 28


def shorten(name: str, limit: int = MAX_LENGTH) -> str:
    """Return a name of at most `limit` characters on one line, with an ellipsis in the middle if needed."""
    name = " ".join(name.split())
    if len(name) <= limit:
        return name
    return f"{name[: (limit - 1) // 2]}\N{HORIZONTAL ELLIPSIS}{name[-(limit // 2) :]}"


def plot_label(name: str) -> str:
    """Return a name for a legend. matplotlib hides labels that are empty or begin with an underscore: add a space."""
    name = shorten(name)
    return f" {name}" if name.startswith("_") or not name else name
