"""Pixels to encode, and what decoding them should give."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[Any]
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (37, 53, 4), np.uint8)
NOISE16 = RNG.integers(0, 65536, (37, 53, 4), np.uint16)
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def assert_close(actual: Pixels, expected: Pixels, max_difference: float) -> None:
    assert actual.dtype == np.uint8
    assert actual.shape == expected.shape
    assert actual.flags.c_contiguous
    assert np.abs(actual.astype(np.float64) - expected).max() <= max_difference


def decode_with_pillow(data: bytes) -> Pixels:
    image = Image.open(io.BytesIO(data))
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return np.asarray(white.convert("RGB"))


def over_white(colors: Pixels, alpha: Pixels, max_value: int) -> Pixels:
    """Composite on white, in floats from 0 to 255."""
    opacity = alpha[..., None] / max_value
    return (colors / max_value * opacity + 1 - opacity) * 255


def gray(values: Pixels) -> Pixels:
    return np.repeat(values[..., None], 3, axis=-1)
