"""The detector: backbone, neck and head of any generation behind one small interface."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from model_zoo.contract.errors import LineageError
from model_zoo.contract.letterbox import LetterboxPolicy, Size


@dataclass(frozen=True)
class InputSpec:
    """What a network was trained to see.

    size: (height, width) it is meant for. color: order of the channels. scale: factor on 0..255 pixels.
    dynamic: whether any multiple of the largest stride is taken.
    """

    size: Size = (640, 640)
    color: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1 / 255
    letterbox: LetterboxPolicy = field(default_factory=LetterboxPolicy)
    dynamic: bool = True


def to_network(images: Tensor, spec: InputSpec) -> Tensor:
    """Bring uint8 (B, H, W, 3) RGB to what a network was trained to see: float32 (B, 3, H, W)."""
    x = images.float() * spec.scale
    if spec.color == "BGR":
        x = x.flip(3)
    return x.permute(0, 3, 1, 2)


@runtime_checkable
class Fusible(Protocol):
    """A block that has a simpler form for inference."""

    def fuse(self) -> nn.Module:
        """Return the equal simpler form, itself or another module; a second call changes nothing."""
        ...


class Head(nn.Module, ABC):
    """Turns feature maps into raw maps (`forward`), and these into predictions row by row.

    A row is one prediction in the network's raw numbers; a prior is what its place in the map tells (cell, stride,
    anchor). `decode` is elementwise over rows: decoding some rows gives the same as decoding all and picking, so that
    an exported graph can pick before it decodes. Priors come from the shapes of the maps on every call and are never
    kept: one module serves every size and every thread.
    """

    strides: tuple[int, ...]
    num_classes: int
    box_numbers: int = 4  # raw numbers of a row that give its box, its first ones
    multi_label_below: float = 0.0  # below this score a box counts for every class over the threshold: see `Thresholds`

    @abstractmethod
    def rows(self, maps: Sequence[Tensor]) -> Tensor:
        """Flatten raw maps to (B, N, R), levels by rising stride, in the order of the original."""

    @abstractmethod
    def priors(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the constants (N, P) of every row, from the maps' shapes alone."""

    @abstractmethod
    def ranking(self, rows: Tensor) -> Tensor:
        """Return (B, N): a number that orders rows as a bound of their best score does."""

    @abstractmethod
    def locate(self, raw: Tensor, priors: Tensor) -> Tensor:
        """Decode the box numbers (..., box_numbers) of rows to boxes (..., 4), xyxy in input pixels.

        Losses decode by it too, so each generation has its formula once.
        """

    @abstractmethod
    def score(self, raw: Tensor) -> Tensor:
        """Decode the other numbers (..., R - box_numbers) of rows to class scores (..., C)."""

    def decode(self, rows: Tensor, priors: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (B, n, 4) xyxy in input pixels and scores (B, n, C)."""
        boxes = self.locate(rows[..., : self.box_numbers], priors)
        return boxes, self.score(rows[..., self.box_numbers :])


class Detector(nn.Module):
    """A detector of any generation.

    `forward` gives the raw maps that losses and references speak of; `forward_decoded` gives boxes and scores.
    `options` is what its builder was told beside variant and class names: see `registry.build`.
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

    def forward(self, x: Tensor) -> list[Tensor]:
        """Run the network on (B, 3, H, W) in its own units and return the raw maps, by rising stride."""
        return self.head(self.neck(self.backbone(x)))

    def forward_decoded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (B, N, 4) xyxy in input pixels and scores (B, N, C) of all predictions."""
        maps = self(x)
        return self.head.decode(self.head.rows(maps), self.head.priors(maps))

    @property
    def stride(self) -> int:
        """The step of input sizes: the largest stride of the head."""
        return max(self.head.strides)

    def resize(self, size: Size) -> None:
        """Mean the detector for another input size (height, width); LineageError if its network cannot take that."""
        if not self.input_spec.dynamic and size != self.input_spec.size:
            raise LineageError(f"{self.variant}: expected its own input size {self.input_spec.size}; got {size}")
        if any(side < self.stride or side % self.stride for side in size):
            raise LineageError(f"{self.variant}: expected an input size in steps of {self.stride}; got {size}")
        self.input_spec = replace(self.input_spec, size=size)

    def deploy(self) -> Detector:
        """Return a re-parameterized copy in evaluation mode, without gradients; this detector stays as it is."""
        twin = copy.deepcopy(self).eval().requires_grad_(False)
        _fuse_children(twin)
        return twin


def _fuse_children(module: nn.Module) -> None:
    """Let every block that owns `fuse` replace itself, children before parents, so that a parent sees plain ones."""
    for name, child in module.named_children():
        _fuse_children(child)
        if isinstance(child, Fusible):
            setattr(module, name, child.fuse())
