"""Detect over the Open Inference Protocol v2 with binary tensors.

The answer has neither labels nor the sizes of images. Labels are those of the model's configuration, and sizes those of
the files. `classes` and `max_detections` are applied here.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from lineage.client.calls import Call, Reply, expecting
from lineage.client.errors import InvalidRequest
from lineage.client.inputs import require_opencv
from lineage.client.query import Query
from lineage.inputs import ImageFile
from lineage.results import ImageResult
from model_zoo.contract.detections import Detections
from model_zoo.contract.nms import DISTANCE_WEIGHTS

HEADER: Final = "inference-header-content-length"
DTYPES: Final[Mapping[str, str]] = {"detections": "<f4", "count": "<i4"}


def infer_request(images: Sequence[ImageFile], query: Query, model: str) -> Call:
    """Return the request for some images. `model` is name, name@version or name@alias."""
    size = sum(4 + len(image.data) for image in images)
    image_input = {"name": "image", "shape": [len(images)], "datatype": "BYTES"}
    inputs = [image_input | {"parameters": {"binary_data_size": size}}, *_thresholds(query)]
    outputs = [{"name": name, "parameters": {"binary_data": True}} for name in DTYPES]
    head = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
    tensor = (part for image in images for part in (struct.pack("<I", len(image.data)), image.data))
    headers = {"Content-Type": "application/octet-stream", HEADER: str(len(head))}
    return Call("POST", f"{_address(model)}/infer", headers=headers, content=b"".join([head, *tensor]))


def config_request(model: str) -> Call:
    """Return the request for the configuration of a model."""
    return Call("GET", f"{_address(model)}/config")


def parse_class_names(reply: Reply) -> list[str]:
    """Return the class names in a model's configuration.

    Raises:
        UnexpectedAnswer: The answer has another form.
    """
    with expecting("a model configuration with class_names", reply):
        names = json.loads(json.loads(reply.content)["parameters"]["class_names"]["string_value"])
        return [str(name) for name in names]


def parse_infer(reply: Reply, count: int) -> tuple[str, list[Detections]]:
    """Return the model that answered, as name@version, and the detections of each of `count` images.

    Raises:
        UnexpectedAnswer: The answer has another form.
    """
    with expecting("binary tensors", reply):
        length = int(reply.headers[HEADER])
        answer = json.loads(reply.content[:length])
        tensors = _tensors(answer["outputs"], reply.content, length)
        rows, counts = tensors["detections"], tensors["count"]
        found = [_detections(image[:number]) for image, number in zip(rows, counts, strict=True)]
        if len(found) != count:
            raise ValueError(f"expected {count} images")
        return f"{answer['model_name']}@{answer['model_version']}", found


def result(
    image: ImageFile, detections: Detections, model: str, class_names: Sequence[str], query: Query
) -> ImageResult:
    """Return the result of one image, with the classes and the number of detections that the query asks for.

    Raises:
        InvalidRequest: The model has no such class.
    """
    if query.wanted():
        detections = detections.filter_classes({i for wanted in query.wanted() for i in _ids(wanted, class_names)})
    best = slice(query.max_detections)
    found = Detections(detections.boxes[best], detections.scores[best], detections.class_ids[best])
    labels = [class_names[class_id] for class_id in found.class_ids]
    return ImageResult(displayed_size(image.data), found, labels, model, image.name)


def displayed_size(data: bytes) -> tuple[int, int]:
    """Return (height, width) of an image file that the server accepted, after EXIF rotation."""
    require_opencv("sizes over the Open Inference Protocol")
    from model_zoo.contract.images.decode import ImageLimits, probe

    unlimited = ImageLimits(max_bytes=len(data), max_pixels=2**62, max_work=2**62)
    return probe(data, unlimited).displayed_size


def _address(model: str) -> str:
    name, _, version = model.partition("@")
    return f"v2/models/{quote(name, safe='')}" + (f"/versions/{quote(version, safe='')}" if version else "")


def _thresholds(query: Query) -> list[dict[str, Any]]:
    values = {"score_threshold": query.score, "iou_threshold": query.iou}
    values |= {"distance_weight": DISTANCE_WEIGHTS[query.nms] if query.nms else None}
    given = {name: float(value) for name, value in values.items() if value is not None}
    return [{"name": name, "shape": [1], "datatype": "FP32", "data": [value]} for name, value in given.items()]


def _tensors(outputs: Sequence[Mapping[str, Any]], content: bytes, offset: int) -> dict[str, NDArray[Any]]:
    """Return the binary tensors that follow the JSON part. Their sizes must fill the content."""
    tensors = {}
    for output in outputs:
        name, shape = output["name"], output["shape"]
        tensors[name] = np.frombuffer(content, DTYPES[name], math.prod(shape), offset).reshape(shape)
        offset += output["parameters"]["binary_data_size"]
    if offset != len(content):
        raise ValueError(f"expected {offset} bytes")
    return tensors


def _detections(rows: NDArray[np.float32]) -> Detections:
    return Detections(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))


def _ids(wanted: str | int, class_names: Sequence[str]) -> list[int]:
    ids = [i for i, name in enumerate(class_names) if wanted in (i, name)]
    if not ids:
        raise InvalidRequest(f"classes: expected labels or class ids of the model; got {wanted!r}")
    return ids
