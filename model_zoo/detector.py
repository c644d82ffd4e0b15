"""The detector: backbone, neck and head of any generation behind one small interface."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from model_zoo.contract.letterbox import LetterboxPolicy, Size


@dataclass(frozen=True)
class InputSpec:
    """What a network was trained to see.

    size: (height, width) it is meant for. colour: order of the channels. scale: factor on 0..255 pixels.
    dynamic: whether any multiple of the largest stride is taken.
    """

    size: Size = (640, 640)
    colour: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1 / 255
    letterbox: LetterboxPolicy = LetterboxPolicy()
    dynamic: bool = True


class Head(Protocol):
    """Turns feature maps into predictions, row by row, so that rows can be picked before they are decoded.

    A row is one prediction in the network's raw numbers; a prior is what its place in the map tells (cell, stride,
    anchor). `decode` is elementwise over rows: decoding some rows gives the same as decoding all and picking.
    """

    strides: tuple[int, ...]
    num_classes: int

    def rows(self, maps: Sequence[Tensor]) -> Tensor:
        """Flatten raw maps to (B, N, R), levels by rising stride, in the order of the original."""

    def priors(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the constants (N, P) of every row, from the maps' shapes alone."""

    def ranking(self, rows: Tensor) -> Tensor:
        """Return (B, N): a number that orders rows as their best possible score does."""

    def decode(self, rows: Tensor, priors: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (B, n, 4) xyxy in input pixels and scores (B, n, C)."""


class Detector(nn.Module):
    """A detector of any generation.

    `forward` gives the raw maps that losses and references speak of; `forward_decoded` gives boxes and scores.
    """

    def __init__(
        self,
        family: str,
        variant: str,
        backbone: nn.Module,
        neck: nn.Module,
        head: nn.Module,
        input_spec: InputSpec,
        class_names: Sequence[str],
    ) -> None:
        super().__init__()
        self.family, self.variant = family, variant
        self.backbone, self.neck, self.head = backbone, neck, head
        self.input_spec = input_spec
        self.class_names = tuple(class_names)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Run the network on (B, 3, H, W) in its own units and return the raw maps, by rising stride."""
        return self.head(self.neck(self.backbone(x)))

    def forward_decoded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (B, N, 4) xyxy in input pixels and scores (B, N, C) of all predictions."""
        maps = self(x)
        return self.head.decode(self.head.rows(maps), self.head.priors(maps))

    def deploy(self) -> Detector:
        """Return a re-parameterized copy in evaluation mode; this detector stays as it is."""
        ...
