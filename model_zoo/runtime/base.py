"""The interface of an engine: a loaded model behind one runtime.

Open one with `model_zoo.runtime.open.open_engine(package, options)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract import pipeline
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.choice import Choice
from model_zoo.runtime.choice import Compute as Compute
from model_zoo.runtime.choice import Provider as Provider

Outputs = tuple[NDArray[np.float32], NDArray[np.int32]]
Runtime = Literal["onnxruntime", "tensorrt"]
Shapes = Literal["auto", "square", "buckets"]
GPU_WORKERS: Final = 2  # one copies while the other computes


class EngineUnavailable(LineageError):
    """The requested runtime or device does not work on this machine."""


@dataclass(frozen=True)
class EngineOptions:
    """Options of an engine. None selects the engine's default, which depends on its device."""

    runtime: Runtime = "onnxruntime"
    """Library that runs the model. tensorrt runs a serialized plan."""
    provider: Provider = "auto"
    """Provider of ONNX Runtime, or openvino. auto uses CUDA where it works, otherwise what is fastest on this CPU."""
    workers: int | None = None
    """Number of batches that run at the same time."""
    max_batch: int | None = None
    """Max number of images in a batch."""
    shapes: Shapes = "auto"
    """square: run all images at the card's input size. buckets: run wide and tall images on smaller canvases. auto: as
    the card says."""
    compute: Compute = "auto"
    """Precision of float32 files. bf16 needs OpenVINO. auto: the fastest, or fp32 where the provider is given."""
    threads: int | None = None
    """CPU threads of each run. None: all cores while nothing else runs and that is faster, one thread otherwise."""
    image_size: Size | None = None
    """Input size (height, width) to use instead of the card's."""
    cuda_graphs: bool = True
    """Whether the runtime tensorrt records runs as CUDA graphs, where the plan allows it."""

    def resize(self, card: ModelCard) -> ModelCard:
        """Return the card at `image_size`.

        Raises:
            LineageError: the model has a fixed input size, or the size is not a multiple of the stride.
        """
        if self.image_size is None or self.image_size == card.input_size:
            return card
        if not card.dynamic_size:
            expected = f"the fixed input size {format_size(card.input_size)}"
            raise LineageError(f"{card.name}: expected {expected}; got {format_size(self.image_size)}")
        return replace(card, input_size=self.image_size)

    def canvases(self, card: ModelCard, *, few: bool = True) -> list[Size]:
        """List the canvas sizes to keep ready for this model: `few`, or all that `pipeline.canvases` has."""
        shapes = card.shapes if self.shapes == "auto" else self.shapes
        return pipeline.canvases(card, few=few) if shapes == "buckets" else [card.input_size]


class Engine(Protocol):
    """A loaded model.

    `run` may be called from up to `workers` threads at the same time, each with up to `max_batch` images.
    """

    card: ModelCard
    device: str
    workers: int
    max_batch: int
    choice: Choice
    """Provider and precision, and the measurements that chose them. `open_engine` sets it."""

    @property
    def canvases(self) -> Sequence[Size]:
        """Canvas sizes (height, width) that are ready to run."""

    def run(self, feeds: Feeds) -> Outputs:
        """Run one batch: detections (B, K, 6) float32 in canvas pixels, count (B,) int32."""

    def warm_up(self) -> None:
        """Run every shape once, so that no request pays for the first run."""

    def close(self) -> None:
        """Free the memory. `run` must not be called again."""


OpenEngine = Callable[[Package, EngineOptions], Engine]


def blank_feeds(size: Size, batch: int) -> Feeds:
    """Return graph inputs for a batch of black images, to warm up with."""
    ones = np.ones(batch, dtype=np.float32)
    images = np.zeros((batch, *size, 3), dtype=np.uint8)
    return {"images": images, "score_threshold": ones, "iou_threshold": ones, "distance_weight": ones}


def check_batch(feeds: Feeds, max_batch: int) -> None:
    """Check that a batch is not larger than the engine allows.

    Raises:
        LineageError: It is.
    """
    if (images := len(feeds["images"])) > max_batch:
        raise LineageError(
            f"expected at most {max_batch} images per run; got {images}; run them one by one, or open the engine with "
            f"EngineOptions(max_batch={images})"
        )


def check_card(package: Package, card: ModelCard) -> None:
    """Check that the card inside a model file is the package's, and that the graph ends in detections.

    Raises:
        PackageError: the cards differ, or the file is a raw export.
    """
    if card != package.card:
        raise PackageError(
            f"{package.reference}: the card inside {package.model_path.name} differs from card.json; "
            "export the model again"
        )
    if card.output != "detections":
        raise PackageError(
            f"{package.reference}: expected a model that outputs detections; this is a {card.output!r} export "
            "without NMS; export it without --raw"
        )
