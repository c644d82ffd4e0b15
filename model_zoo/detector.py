"""Detector of any generation: backbone, neck and head behind one interface."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from model_zoo.contract.card import Shapes, WeightsOrigin
from model_zoo.contract.errors import LineageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from model_zoo.contract.licenses import UNDECLARED


@dataclass(frozen=True)
class InputSpec:
    """Input that a network was trained with."""

    size: Size = (640, 640)
    """Default input size (height, width)."""
    color: Literal["RGB", "BGR"] = "RGB"
    """Channel order."""
    scale: float = 1 / 255
    """Factor applied to pixels of 0..255."""
    letterbox: LetterboxPolicy = field(default_factory=LetterboxPolicy)
    """Rule that fits an image into the input size."""
    dynamic: bool = True
    """Whether the network accepts any multiple of the largest stride."""
    shapes: Shapes = "square"
    """Canvases of images. buckets: smaller ones for wide and tall images, as the original program has."""


def to_network(images: Tensor, spec: InputSpec) -> Tensor:
    """Convert RGB images, uint8 (B, H, W, 3), to the input of a network, float32 (B, 3, H, W)."""
    x = images.float() * spec.scale
    if spec.color == "BGR":
        x = x.flip(3)
    return x.permute(0, 3, 1, 2)


@runtime_checkable
class Fusible(Protocol):
    """A block with a simpler, equivalent form for inference."""

    def fuse(self) -> nn.Module:
        """Return the equivalent simpler form: itself or another module. A second call changes nothing."""
        ...


class Head(nn.Module, ABC):
    """Turns feature maps into raw maps (`forward`), and raw maps into predictions.

    A row is one prediction before decoding. Its prior holds the constants of its grid position: cell, stride, anchor
    size. `decode` works row by row: decoding some rows gives the same as decoding all and selecting, so an exported
    graph can select first. Priors are computed from the shapes of the maps on every call and never stored, so one
    module serves every size and thread.
    """

    strides: tuple[int, ...]
    """Pixels per cell of each level, ascending."""
    num_classes: int
    """Number of classes."""
    box_numbers: int = 4
    """Number of values at the start of a row that describe the box."""
    multi_label_below: float = 0.0
    """Score threshold below which a box counts for every class above the threshold (`NMSThresholds`)."""

    @abstractmethod
    def planes(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """View raw maps as (B, A, R, h, w), levels in order of ascending stride. The order of rows is A, h, w."""

    @abstractmethod
    def priors(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the priors (N, P), computed from the shapes of the maps."""

    @abstractmethod
    def ranking(self, rows: Tensor, dim: int = -1) -> Tensor:
        """Return a number per row that is monotonic in an upper bound of its highest score.

        `dim` is the axis of the R numbers. It is reduced.
        """

    @abstractmethod
    def locate(self, raw: Tensor, priors: Tensor) -> Tensor:
        """Decode the box numbers (..., box_numbers) of rows to boxes (..., 4), xyxy in input pixels.

        Inference and losses share it, so each generation defines its formula once.
        """

    @abstractmethod
    def score(self, raw: Tensor) -> Tensor:
        """Decode the remaining numbers (..., R - box_numbers) of rows to class scores (..., C)."""

    def rows(self, maps: Sequence[Tensor]) -> Tensor:
        """Flatten raw maps to rows (B, N, R)."""
        return to_rows(self.planes(maps))

    def bound(self, ranking: Tensor) -> Tensor:
        """Return the upper bound of the scores of rows with at most this ranking."""
        return ranking.sigmoid()

    def decode(self, rows: Tensor, priors: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (B, n, 4) xyxy in input pixels and scores (B, n, C)."""
        boxes = self.locate(rows[..., : self.box_numbers], priors)
        return boxes, self.score(rows[..., self.box_numbers :])


def to_rows(planes: Sequence[Tensor]) -> Tensor:
    """Flatten planes (B, A, R, h, w) to rows (B, N, R)."""
    return torch.cat([plane.movedim(2, 4).flatten(1, 3) for plane in planes], dim=1)


class Detector(nn.Module):
    """A detector of any generation.

    `forward` returns raw maps, the input of the losses. `forward_decoded` returns boxes and scores. `options` are the
    builder's options; see `registry.build`. `weights` is the origin of the weights.
    """

    def __init__(
        self,
        family: str,
        variant: str,
        backbone: nn.Module,
        neck: nn.Module,
        head: Head,
        input_spec: InputSpec,
        class_names: Sequence[str],
    ) -> None:
        super().__init__()
        self.family, self.variant = family, variant
        self.backbone, self.neck, self.head = backbone, neck, head
        self.input_spec = input_spec
        self.class_names = tuple(class_names)
        self.options: Mapping[str, int] = {}
        self.weights = WeightsOrigin(UNDECLARED, "random", parents=())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the raw maps of network input (B, 3, H, W), in order of ascending stride."""
        return self.head(self.neck(self.backbone(x)))

    def forward_decoded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (B, N, 4) xyxy in input pixels and scores (B, N, C) of all predictions."""
        maps = self(x)
        return self.head.decode(self.head.rows(maps), self.head.priors(maps))

    @property
    def stride(self) -> int:
        """Largest stride of the head. Input sizes are multiples of it."""
        return max(self.head.strides)

    def resize(self, size: Size) -> None:
        """Set the input size (height, width).

        Raises:
            LineageError: The network does not accept this size.
        """
        if not self.input_spec.dynamic and size != self.input_spec.size:
            expected = f"the fixed input size {format_size(self.input_spec.size)}"
            raise LineageError(f"{self.variant}: expected {expected}; got {format_size(size)}")
        if any(side < self.stride or side % self.stride for side in size):
            expected = f"an input size in multiples of {self.stride}"
            raise LineageError(f"{self.variant}: expected {expected}; got {format_size(size)}")
        self.input_spec = replace(self.input_spec, size=size)

    def deploy(self) -> Detector:
        """Return a re-parameterized copy in evaluation mode without gradients. This detector does not change."""
        deployed = copy.deepcopy(self).eval().requires_grad_(False)
        _fuse_children(deployed)
        return deployed


def _fuse_children(module: nn.Module) -> None:
    """Replace every block that has `fuse` by its fused form, children before parents."""
    for name, child in module.named_children():
        _fuse_children(child)
        if isinstance(child, Fusible):
            setattr(module, name, child.fuse())
