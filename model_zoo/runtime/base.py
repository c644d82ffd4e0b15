"""What the service asks of a runtime.

load(package, options) -> engine      reads the file, checks that its card is the package's
engine.warm_up()                      runs every shape once, so that no request pays for it
engine.run(feeds) -> rows, counts     may be called from `engine.workers` threads at a time
engine.close()                        gives memory back; nothing runs any more
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds, canvases

Outputs = tuple[NDArray[np.float32], NDArray[np.int32]]
Provider = Literal["auto", "cpu", "cuda", "tensorrt", "openvino"]
Shapes = Literal["square", "buckets"]


class EngineUnavailable(LineageError):
    """The runtime or device that the settings ask for is not there."""


@dataclass(frozen=True)
class EngineOptions:
    """How to run a model; None leaves the choice to the engine, which knows its device.

    workers: runs at a time. shapes: `square` runs every image on the card's own size, `buckets` wide and tall ones on
    smaller canvases.
    """

    provider: Provider = "auto"
    workers: int | None = None
    max_batch: int | None = None
    shapes: Shapes = "square"

    def canvases(self, card: ModelCard) -> list[Size]:
        """List the canvas sizes to keep ready for this model."""
        return canvases(card) if self.shapes == "buckets" else [card.input_size]


class Engine(Protocol):
    """A loaded model."""

    card: ModelCard
    device: str
    workers: int
    max_batch: int

    @property
    def canvases(self) -> Sequence[Size]:
        """Canvas sizes (height, width) that are ready to run."""

    def run(self, feeds: Feeds) -> Outputs:
        """Run one batch: detections (B, K, 6) float32 in canvas pixels, count (B,) int32."""

    def warm_up(self) -> None:
        """Run every shape once."""

    def close(self) -> None:
        """Give memory back."""


Loader = Callable[[Package, EngineOptions], Engine]


def blank_feeds(size: Size, batch: int) -> Feeds:
    """Return the graph's inputs for a batch of black images, for warming up."""
    ones = np.ones(batch, dtype=np.float32)
    images = np.zeros((batch, *size, 3), dtype=np.uint8)
    return {"images": images, "score_threshold": ones, "iou_threshold": ones, "distance_weight": ones}


def check_card(package: Package, card: ModelCard) -> None:
    """Raise PackageError where the card inside the model file is not the one beside it."""
    if card != package.card:
        raise PackageError(
            f"{package.name}@{package.version}: the card inside {package.model_path.name} differs from card.json; "
            "expected the same; export the model again"
        )
    if card.output != "detections":
        raise PackageError(
            f"{package.name}@{package.version}: a {card.output!r} export stops before NMS and cannot be served; "
            "export it without --raw"
        )
