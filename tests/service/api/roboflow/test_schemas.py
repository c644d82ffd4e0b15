"""Roboflow's requests and answers: images, options, ids of models, boxes as centers."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from model_zoo.contract.detections import Detections
from service.api.errors import BadRequest
from service.api.json_body import parse_model
from service.api.roboflow.schemas import InferRequest, make_options, to_answer, to_reference
from service.inference.results import ImageResult

TEXT = base64.b64encode(b"file").decode()


def read(**members: object) -> InferRequest:
    document = {"model_id": "toy/1", "image": {"type": "base64", "value": TEXT}} | members
    return parse_model(json.dumps(document).encode(), InferRequest)


def test_one_image_and_lists_of_images_are_decoded() -> None:
    assert read().take_images(1) == [b"file"]
    images = [{"type": "base64", "value": TEXT}, {"value": f"data:image/png;base64,{TEXT}"}]
    asked = read(image=images)
    assert asked.take_images(2) == [b"file", b"file"]
    assert asked.text_size() == 0  # texts are forgotten


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (
            {"type": "url", "value": "http://169.254.169.254/a"},
            "image.type: expected base64, the file itself; got 'url'",
        ),
        ({"type": "numpy", "value": TEXT}, "image.type: expected base64"),
        ([{"value": TEXT}, {"value": "?"}], "image[1].value: expected base64 of an image file; got '?'"),
        ([{"value": TEXT}] * 3, "image: expected at most 2 files; got 3"),
    ],
)
def test_other_images_are_refused(image: object, reason: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(image=image).take_images(2)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"image": None}, "image"),
        ({"image": []}, "image"),
        ({"image": {"type": "base64", "value": None}}, "image.object.value"),
        ({"image": [{"value": 5}]}, "image.list.0.value"),
        ({"model_id": 5}, "model_id"),
        ({"model_id": ""}, "model_id"),
        ({"confidence": "high"}, "confidence"),
        ({"max_detections": 0}, "max_detections"),
        ({"class_filter": "person"}, "class_filter"),
    ],
)
def test_members_of_other_types_are_named(members: dict[str, object], where: str) -> None:
    with pytest.raises(BadRequest, match=f"^{where}.*: expected "):
        read(**members)


def test_unknown_members_are_ignored() -> None:
    assert read(visualize_predictions=False, source="x", class_agnostic_nms=False).options() == make_options()


def test_suppression_across_classes_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"^class_agnostic_nms: expected false"):
        read(class_agnostic_nms=True).options()


def test_defaults_are_those_of_the_protocol() -> None:
    options = read().options()
    assert (options.score, options.iou, options.max_detections, options.classes) == (0.4, 0.3, 300, None)
    options = read(confidence=0.0, iou_threshold=0.5, max_detections=7, class_filter=["red"]).options()
    assert (options.score, options.iou, options.max_detections, options.classes) == (0.0, 0.5, 7, ["red"])
    assert read(class_filter=[], confidence=None, max_detections=None).options() == make_options()


@pytest.mark.parametrize(
    ("model_id", "reference"),
    [
        ("toy", "toy"),
        ("toy/2", "toy@2"),
        ("toy/stable", "toy@stable"),
        ("toy@2", "toy@2"),
        ("a.b-c_d/10", "a.b-c_d@10"),
    ],
)
def test_ids_of_models_become_references(model_id: str, reference: str) -> None:
    assert to_reference(model_id) == reference


def test_boxes_are_centers_and_sizes() -> None:
    boxes = np.asarray([[1.0004, 2.0, 4.25, 8.5], [0, 0, 0, 0]], np.float32)
    found = Detections(boxes, np.asarray([0.75, 0.5], np.float32), np.asarray([1, 0]))
    answer = to_answer(ImageResult((20, 10), found, 0, 0, 0, 0), ("red", "green"), 0.1234567)
    assert (answer["image"], answer["time"]) == ({"width": 10, "height": 20}, 0.123457)
    first, second = answer["predictions"]
    ids = {first.pop("detection_id"), second["detection_id"], answer["inference_id"]}
    assert len(ids) == 3
    assert first == {
        "x": 2.625, "y": 5.25, "width": 3.25, "height": 6.5, "confidence": 0.75, "class": "green", "class_id": 1,
    }  # fmt: skip
    assert (second["x"], second["class"]) == (0, "red")
