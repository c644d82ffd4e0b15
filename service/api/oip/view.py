"""A view: inputs and outputs under which the protocol offers the models of the store, and the way to run them.

The native view has the models' own names. Others add a suffix to them, and have tensors that other programs expect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import ImageError
from model_zoo.contract.letterbox import Size
from service.api.detection import count_unusable
from service.api.errors import BadRequest
from service.api.oip.messages import InferRequest, InputTensor, OutputTensor, TensorSpec
from service.api.oip.tensors import BYTES
from service.inference.request import RequestContext
from service.inference.results import DetectResult
from service.state import AppState


class View(Protocol):
    """One view of all models."""

    suffix: str
    """Text after the name of the model, empty for the native view."""
    platform: str
    """Platform in metadata, not empty."""
    output_names: Sequence[str]
    """Names of the outputs."""

    def inputs(self, card: ModelCard, canvases: Sequence[Size], /) -> Sequence[TensorSpec]:
        """Return the inputs of a model. `canvases` are the ready ones of a loaded model, else the card's own."""

    def outputs(self, card: ModelCard, /) -> Sequence[TensorSpec]:
        """Return the outputs of a model."""

    def parameters(self, card: ModelCard, /) -> Mapping[str, str]:
        """Return the parameters in the configuration of a model."""

    async def run(
        self, state: AppState, request: InferRequest, reference: str, context: RequestContext
    ) -> tuple[str, Sequence[OutputTensor]]:
        """Run the model of `reference` (`name[@version|@alias]`). Return the version and the outputs.

        `infer` has applied the parameters of the request, and picks the outputs it names.

        Raises:
            BadRequest: an input is missing, unknown or has another datatype or shape.
            LineageError, ServiceError: as `DetectionService`.
        """


def check_count(images: InputTensor, max_images: int) -> None:
    """Check the number of images in an input, which is the first side of its shape.

    Raises:
        BadRequest: there are more than `max_images`.
    """
    if images.shape[0] > max_images:
        raise BadRequest(f"input {images.name!r}: expected at most {max_images} images; got {images.shape[0]:,}")


def detections_of(state: AppState, result: DetectResult, images: InputTensor) -> list[Detections]:
    """Return the detections of each image, all of which must be usable.

    Raises:
        ImageError: a file is unusable.
        BadRequest: the canvases have the wrong size.
    """
    count_unusable(state, result)
    found = []
    for index, image in enumerate(result.images):
        if not isinstance(image, ImageError):
            found.append(image.detections)
        elif images.datatype == BYTES:
            raise type(image)(f"{images.name}[{index}]: {image}")
        else:
            raise BadRequest(str(image))
    return found
