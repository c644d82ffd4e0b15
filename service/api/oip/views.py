"""FP32 views for programs that suppress boxes themselves: YOLOv5's `detect.py` and Ultralytics' `YOLO(url)`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections
from model_zoo.contract.letterbox import Size
from service.api.errors import BadRequest
from service.api.oip import view_layouts
from service.api.oip.messages import InferRequest, InputTensor, OutputTensor, TensorSpec
from service.api.oip.view import View, check_count, detections_of
from service.inference.request import RequestContext
from service.state import AppState

INPUT: Final = "images"
OUTPUT: Final = "output0"


@dataclass(eq=False)
class ProgramView:
    """Models with one FP32 input of letterboxed pixels, and one FP32 output with all rows of the graph."""

    suffix: str
    """Text after the name of the model."""
    batch: int
    """Number of images in metadata. -1 stands for any number."""
    shape: Callable[[ModelCard], tuple[int, int]]
    """Return the shape of the output for one image."""
    lay_out: Callable[[ModelCard, Sequence[Detections]], NDArray[np.float32]]
    """Return the output for images."""
    platform: str = "yolo-lineage"
    """Platform in metadata."""
    output_names: Sequence[str] = (OUTPUT,)
    """Names of the outputs."""

    def inputs(self, card: ModelCard, _canvases: Sequence[Size]) -> Sequence[TensorSpec]:
        """Return the input in the size that the programs letterbox images to."""
        return [TensorSpec(INPUT, "FP32", (self.batch, 3, *card.input_size))]

    def outputs(self, card: ModelCard) -> Sequence[TensorSpec]:
        """Return the output."""
        return [TensorSpec(OUTPUT, "FP32", (self.batch, *self.shape(card)))]

    def parameters(self, card: ModelCard) -> Mapping[str, str]:
        """Return the metadata of a model file that Ultralytics reads, as a Python literal."""
        metadata = {
            "names": dict(enumerate(card.class_names)),
            "stride": card.stride,
            "task": "detect",
            "batch": 1,
            "imgsz": [*card.input_size],
            "end2end": False,
        }
        return {"metadata": repr(metadata)}

    async def run(
        self, state: AppState, request: InferRequest, reference: str, context: RequestContext
    ) -> tuple[str, Sequence[OutputTensor]]:
        """Return all rows of the graph. Tensors are converted in threads."""
        pixels = read_pixels(request.inputs, state.settings.max_files)
        canvases = [partial(view_layouts.to_canvas, image) for image in cast(NDArray[np.float32], pixels.data)]
        result = await state.detection.list_candidates(canvases, reference, context)
        found = detections_of(state, result, pixels)
        rows = await asyncio.to_thread(self.lay_out, result.package.card, found)
        return str(result.package.version), [OutputTensor(OUTPUT, "FP32", rows)]


# By the name in the setting `views`, in the order of the index. YOLOv5's `detect.py` runs the first model of the index,
# and compares what it sends with the shape in its metadata.
PROGRAM_VIEWS: Final[Mapping[str, View]] = {
    "yolov5": ProgramView(".yolov5", 1, view_layouts.yolov5_shape, view_layouts.yolov5),
    "ultralytics": ProgramView(".ultralytics", -1, view_layouts.ultralytics_shape, view_layouts.ultralytics),
}


def read_pixels(inputs: Sequence[InputTensor], max_images: int) -> InputTensor:
    """Return the only input: pixels (N, 3, H, W).

    Raises:
        BadRequest: there is another input, or it has another datatype or shape.
    """
    if len(inputs) != 1 or inputs[0].name != INPUT:
        names = ", ".join(tensor.name[:100] for tensor in inputs[:10]) or "none"
        raise BadRequest(f"inputs: expected {INPUT} alone; got {names}")
    (tensor,) = inputs
    if tensor.datatype != "FP32" or len(tensor.shape) != 4 or tensor.shape[1] != 3:
        got = f"{tensor.datatype} {list(tensor.shape)}"
        raise BadRequest(f"input {INPUT!r}: expected FP32 [N, 3, height, width], RGB divided by 255; got {got}")
    check_count(tensor, max_images)
    return tensor
