"""The native view: encoded images or the graph's own tensors in, detections and their count out.

Boxes of encoded images are in pixels of the image, those of tensors in pixels of the canvas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections
from model_zoo.contract.letterbox import Size
from model_zoo.contract.typed_json import shorten
from service.api.errors import BadRequest
from service.api.oip.messages import InferRequest, InputTensor, OutputTensor, TensorSpec
from service.api.oip.tensors import BYTES
from service.api.oip.view import check_count, detections_of
from service.inference.query import QueryOptions
from service.inference.request import RequestContext
from service.state import AppState

IMAGE: Final = "image"  # encoded files
IMAGES: Final = "images"  # canvases, or encoded files as BYTES
THRESHOLDS: Final = ("score_threshold", "iou_threshold", "distance_weight")
_EITHER: Final = f"expected one of the inputs {IMAGE} (BYTES [N], files) and {IMAGES} (UINT8 [N, height, width, 3])"


class DetectionsView:
    """Models with the inputs and outputs of their graphs, and files as a further input."""

    suffix = ""
    platform = "yolo-lineage"
    output_names: Sequence[str] = ("detections", "count")

    def inputs(self, _: ModelCard, canvases: Sequence[Size]) -> Sequence[TensorSpec]:
        """Return both forms of images, of which a request has one, and the thresholds."""
        size = canvases[0] if len(canvases) == 1 else (-1, -1)
        return [
            TensorSpec(IMAGE, BYTES, (-1,), optional=True),
            TensorSpec(IMAGES, "UINT8", (-1, *size, 3), optional=True),
            *(TensorSpec(name, "FP32", (-1,), optional=True) for name in THRESHOLDS),
        ]

    def outputs(self, _: ModelCard) -> Sequence[TensorSpec]:
        """Return the outputs of the graph. A request gets as many rows as its image with the most detections has."""
        return [TensorSpec("detections", "FP32", (-1, -1, 6)), TensorSpec("count", "INT32", (-1,))]

    def parameters(self, card: ModelCard) -> Mapping[str, str]:
        """Return what clients need to letterbox images and to name classes, as JSON."""
        return {
            "class_names": json.dumps(card.class_names),
            "letterbox": json.dumps(asdict(card.letterbox)),
            "thresholds": json.dumps(asdict(card.thresholds)),
        }

    async def run(
        self, state: AppState, request: InferRequest, reference: str, context: RequestContext
    ) -> tuple[str, Sequence[OutputTensor]]:
        """Detect objects in the images of a request, all of which must be usable."""
        images, queries = read_inputs(request.inputs, state.settings.max_files)
        if images.datatype == BYTES:
            result = await state.detection.detect(cast(Sequence[bytes], images.data), reference, queries, context)
        else:
            canvases = list(cast(NDArray[np.uint8], images.data))
            result = await state.detection.detect_canvases(canvases, reference, queries, context)
        return str(result.package.version), stack(detections_of(state, result, images))


DETECTIONS: Final = DetectionsView()


def read_inputs(inputs: Sequence[InputTensor], max_images: int) -> tuple[InputTensor, list[QueryOptions]]:
    """Return the input with the images, and the query of each image.

    Raises:
        BadRequest: an input is missing, unknown or has another datatype or shape.
    """
    given = {tensor.name: tensor for tensor in inputs}
    if len(given) < len(inputs):
        raise BadRequest("inputs: expected each name once")
    thresholds = [given.pop(name, None) for name in THRESHOLDS]
    for name in given:
        if name not in (IMAGE, IMAGES):
            known = ", ".join((IMAGE, IMAGES, *THRESHOLDS))
            raise BadRequest(f"inputs: {shorten(name)} is unknown; expected {known}")
    if len(given) != 1:
        raise BadRequest(f"inputs: {_EITHER}; got {'both' if given else 'neither'}")
    images = next(iter(given.values()))
    _check_images(images, max_images)
    scores, ious, weights = (_broadcast(tensor, images.shape[0]) for tensor in thresholds)
    queries = [QueryOptions(*options) for options in zip(scores, ious, weights, strict=True)]
    return images, queries


def stack(detections: Sequence[Detections]) -> list[OutputTensor]:
    """Return the outputs of several images, with as many rows as the most detections of an image."""
    counts = np.array([len(found) for found in detections], "<i4")
    rows = np.zeros((len(counts), max(counts), 6), "<f4")
    for image_rows, found in zip(rows, detections, strict=True):
        image_rows[: len(found), :4] = found.boxes
        image_rows[: len(found), 4] = found.scores
        image_rows[: len(found), 5] = found.class_ids
    return [OutputTensor("detections", "FP32", rows), OutputTensor("count", "INT32", counts)]


def _check_images(images: InputTensor, max_images: int) -> None:
    is_files = images.datatype == BYTES and len(images.shape) == 1
    is_canvases = images.name == IMAGES and images.datatype == "UINT8" and len(images.shape) == 4
    if not is_files and not (is_canvases and images.shape[3] == 3):
        raise BadRequest(f"inputs: {_EITHER}; got {images.name} ({images.datatype} {list(images.shape)})")
    check_count(images, max_images)


def _broadcast(tensor: InputTensor | None, count: int) -> Sequence[float | None]:
    """Return one number for each image. A single one is that of all images, and None the default."""
    if tensor is None:
        return [None] * count
    if tensor.datatype != "FP32" or tensor.shape not in ((count,), (1,)):
        got = f"{tensor.datatype} {list(tensor.shape)}"
        raise BadRequest(f"input {tensor.name!r}: expected FP32 [{count}] or [1]; got {got}")
    numbers = cast(NDArray[np.float32], tensor.data)
    values = [float(str(number)) for number in numbers]  # 0.01 stays 0.01, and is not below a limit of 0.01
    return values * (count // len(values))
