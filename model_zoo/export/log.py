"""Callback for progress messages."""

from __future__ import annotations

from collections.abc import Callable

Log = Callable[[str], object]


def silent(_: str) -> None:
    """Discard a message."""
