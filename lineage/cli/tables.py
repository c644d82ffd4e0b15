"""Text tables for the terminal."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def format_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return rows as columns separated by two spaces, aligned left, or right if their index is in `right`."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [">" if index in right else "<" for index in range(len(widths))]
    layout = "  ".join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    return "\n".join(layout.format(*row).rstrip() for row in rows)


def plain(text: str) -> str:
    """Return text on one line, in which control characters are escaped: names of others could command the terminal."""
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
