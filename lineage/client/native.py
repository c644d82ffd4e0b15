"""Detect with `POST /detect`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lineage.client.calls import Call, Reply, expecting
from lineage.client.errors import ImageError, image_error
from lineage.client.query import Query
from lineage.inputs import ImageFile
from lineage.results import ImageResult
from model_zoo.contract.detections import Detections

BINARY = {"Content-Type": "application/octet-stream"}


def request(images: Sequence[ImageFile], query: Query, accept: str = "application/json") -> Call:
    """Return the request for some images: one as it is, several as multipart."""
    if len(images) == 1:
        return Call("POST", "detect", query.params(), {"Accept": accept, **BINARY}, content=images[0].data)
    files = [(image.name, image.data) for image in images]
    return Call("POST", "detect", query.params(), {"Accept": accept}, files=files)


def parse(reply: Reply, images: Sequence[ImageFile]) -> list[ImageResult | ImageError]:
    """Return the result of each image.

    Raises:
        UnexpectedAnswer: The answer has another form.
    """
    with expecting("detections as JSON", reply):
        answer = json.loads(reply.content)
        return [_result(image, entry, answer) for image, entry in zip(images, answer["results"], strict=True)]


def _result(image: ImageFile, entry: Mapping[str, Any], answer: Mapping[str, Any]) -> ImageResult | ImageError:
    if "error" in entry:
        return image_error(entry["error"])
    found, model = entry["detections"], answer["model"]
    return ImageResult(
        size=(entry["image"]["height"], entry["image"]["width"]),
        detections=Detections.from_dict(found),
        labels=[detection["label"] for detection in found],
        model=f"{model['name']}@{model['version']}",
        file=image.name,
        timing_ms=answer["timing_ms"],
    )
