"""Small programs that send and read what YOLOv5's `detect.py` and Ultralytics' `YOLO(url)` do, with tritonclient.

Both letterbox an image to a square, centered on gray 114, divide it by 255 and send it as FP32. They suppress
overlapping boxes of a class themselves. A box counts with its best class, if that scores above `conf`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import cxcywh_to_xyxy
from model_zoo.contract.nms import nms

TYPES = {"TYPE_FP32": "FP32", "TYPE_FP16": "FP16", "TYPE_UINT8": "UINT8"}
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Letterboxed:
    """An image on its canvas, as both programs place it."""

    pixels: Floats
    """RGB / 255, (1, 3, H, W)."""
    image: tuple[int, int]
    """Size of the image."""
    gain: float
    """Canvas pixels per image pixel."""
    padding: tuple[float, float]
    """Gray border (x, y) on one side, in canvas pixels."""

    def to_image(self, boxes: Floats) -> Floats:
        """Map boxes to image pixels and clip them."""
        height, width = self.image
        boxes = (boxes - np.float32(self.padding * 2)) / np.float32(self.gain)
        return np.clip(boxes, 0, np.float32([width, height, width, height]))


def letterbox(image: NDArray[np.uint8], size: tuple[int, int]) -> Letterboxed:
    """Place an RGB image (H, W, 3) on a canvas of `size` (height, width)."""
    height, width = image.shape[:2]
    gain = min(size[0] / height, size[1] / width)
    resized = round(width * gain), round(height * gain)
    x, y = (size[1] - resized[0]) / 2, (size[0] - resized[1]) / 2
    if (width, height) != resized:
        image = cv2.resize(image, resized, interpolation=cv2.INTER_LINEAR)
    border = (round(y - 0.1), round(y + 0.1), round(x - 0.1), round(x + 0.1))
    canvas = cv2.copyMakeBorder(image, *border, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    pixels = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None]).astype(np.float32) / np.float32(255)
    return Letterboxed(pixels, (height, width), gain, ((size[1] - width * gain) / 2, (size[0] - height * gain) / 2))


def suppress(boxes: Floats, scores: Floats, conf: float, iou: float, multi_label: bool = False) -> Floats:
    """Return rows x1, y1, x2, y2, score, class of boxes (N, 4) in center form and class scores (N, C).

    A box counts with its best class, or with every class above `conf` if `multi_label`, as in evaluations.
    """
    is_candidate = scores > np.float32(conf)
    if not multi_label:
        is_candidate &= np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]
    index, class_ids = np.nonzero(is_candidate)
    corners, values = cxcywh_to_xyxy(boxes[index]).astype(np.float32), scores[index, class_ids]
    kept = nms(corners, values, class_ids, iou, distance_weight=0.0, limit=300)
    return np.column_stack([corners[kept], values[kept], class_ids[kept]]).astype(np.float32)


class _Program:
    """A tritonclient over HTTP or gRPC, by the scheme of the URL."""

    def __init__(self, url: str) -> None:
        self.url = urlsplit(url)
        self.is_grpc = self.url.scheme == "grpc"
        self.triton = import_module("tritonclient.grpc" if self.is_grpc else "tritonclient.http")
        self.client = self.triton.InferenceServerClient(self.url.netloc)

    def infer(self, model: str, name: str, tensor: Floats, outputs: list[str] | None) -> list[Floats]:
        """Send one FP32 tensor. Return the named outputs, or all."""
        sent = self.triton.InferInput(name, list(tensor.shape), "FP32")
        sent.set_data_from_numpy(tensor)
        wanted = outputs and [self.triton.InferRequestedOutput(output) for output in outputs]
        answer = self.client.infer(model, [sent], outputs=wanted)
        response = answer.get_response(as_json=True) if self.is_grpc else answer.get_response()
        return [answer.as_numpy(output["name"]) for output in response["outputs"]]


class DetectPy(_Program):
    """`detect.py --weights http://host:port`: it runs the first model of the index, and reads its metadata."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        as_json = {"as_json": True} if self.is_grpc else {}
        index: Any = self.client.get_model_repository_index(**as_json)
        self.model: str = (index["models"] if self.is_grpc else index)[0]["name"]
        metadata = self.client.get_model_metadata(self.model, **as_json)
        assert not metadata["platform"].lower().startswith("tensorflow")
        (self.input,) = metadata["inputs"]
        self.shape = [int(side) for side in self.input["shape"]]
        assert min(self.shape) > 0
        assert self.input["datatype"] == "FP32"
        self.warm_up()

    def warm_up(self) -> None:
        """Send uninitialized memory: whatever it holds."""
        memory = np.resize(np.float32([np.nan, np.inf, -np.inf, 3e38, 0, -1]), self.shape)
        self.infer(self.model, self.input["name"], memory, None)

    def __call__(self, image: NDArray[np.uint8], conf: float = 0.25, iou: float = 0.45) -> Floats:
        """Return rows x1, y1, x2, y2, score, class in image pixels."""
        sent = letterbox(image, (self.shape[2], self.shape[3]))
        assert list(sent.pixels.shape) == self.shape
        (output,) = self.infer(self.model, self.input["name"], sent.pixels, None)
        assert output.ndim == 3
        rows = output[0][output[0][:, 4] > np.float32(conf)]
        found = suppress(rows[:, :4], rows[:, 5:] * rows[:, 4:5], conf, iou)
        return np.column_stack([sent.to_image(found[:, :4]), found[:, 4:]])


@dataclass
class Metadata:
    """Metadata that Ultralytics reads from the parameter `metadata` of the configuration."""

    names: Mapping[int, str]
    imgsz: list[int]
    stride: int
    task: str
    batch: int
    end2end: bool = field(default=False)


class Ultralytics(_Program):
    """`YOLO("http://host:port/MODEL")`: it reads the configuration of the model alone, and sends its first input."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.model = self.url.path.strip("/").split("/")[0]
        config: Any = self.client.get_model_config(self.model, **({"as_json": True} if self.is_grpc else {}))
        config = config["config"] if self.is_grpc else config
        assert {TYPES[tensor["data_type"]] for tensor in config["input"]} == {"FP32"}
        self.input: str = config["input"][0]["name"]
        self.outputs = sorted(tensor["name"] for tensor in config["output"])
        self.metadata = Metadata(**ast.literal_eval(config["parameters"]["metadata"]["string_value"]))
        assert (self.metadata.task, self.metadata.end2end) == ("detect", False)

    def request_body(self, tensor: Floats) -> tuple[bytes, int]:
        """Return the body of a request over HTTP, and the size of its JSON document."""
        sent = self.triton.InferInput(self.input, list(tensor.shape), "FP32")
        sent.set_data_from_numpy(tensor)
        outputs = [self.triton.InferRequestedOutput(output) for output in self.outputs]
        body, json_size = self.triton.InferenceServerClient.generate_request_body([sent], outputs)
        return body, json_size

    def __call__(
        self, *images: NDArray[np.uint8], conf: float = 0.25, iou: float = 0.7, multi_label: bool = False
    ) -> list[Floats]:
        """Return rows x1, y1, x2, y2, score, class in pixels of each image."""
        height, width = self.metadata.imgsz
        sent = [letterbox(image, (height, width)) for image in images]
        (output,) = self.infer(self.model, self.input, np.concatenate([s.pixels for s in sent]), self.outputs)
        assert output.shape[:2] == (len(images), 4 + len(self.metadata.names))
        assert output.shape[2] != 6
        found = [suppress(columns[:4].T, columns[4:].T, conf, iou, multi_label) for columns in output]
        return [np.column_stack([s.to_image(f[:, :4]), f[:, 4:]]) for s, f in zip(sent, found, strict=True)]
