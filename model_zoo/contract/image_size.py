"""Image sizes in options and messages."""

from __future__ import annotations

from collections.abc import Sequence

from model_zoo.contract.errors import LineageError

MAX_SIDE = 8192  # pixels


def format_size(size: Sequence[int]) -> str:
    """Return a size (height, width), or the shape of an image, as "width x height", as people write it."""
    return f"{size[1]} x {size[0]}"


def parse_size(sides: Sequence[int]) -> tuple[int, int] | None:
    """Return the size (height, width) that --image-size sets: one number is a square, none keeps the model's size.

    Raises:
        LineageError: There are more than two numbers, or one is not positive or too large.
    """
    if len(sides) > 2 or any(side < 1 for side in sides):
        actual = " ".join(map(str, sides))
        raise LineageError(f"--image-size: expected one positive number, or height and width; got {actual}")
    if any(side > MAX_SIDE for side in sides):
        raise LineageError(f"--image-size: expected at most {MAX_SIDE} pixels a side; got {max(sides)}")
    return (sides[0], sides[-1]) if sides else None
