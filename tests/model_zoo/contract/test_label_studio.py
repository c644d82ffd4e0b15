"""Predictions and labeling configurations of Label Studio."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from model_zoo.contract.detections import Detections
from model_zoo.contract.label_studio import label_config, to_prediction

FOUND = Detections(
    np.asarray([[10, 20, 30, 60], [0, 0, 200, 100], [1, 2, 3, 4]], np.float32),
    np.asarray([0.75, 0.5, 0.25], np.float32),
    np.asarray([1, 0, 2]),
)


def test_regions_are_in_per_cent_with_the_labels_given() -> None:
    prediction = to_prediction(FOUND, (100, 200), {1: "Cat", 0: "Dog"}, "pets@3", from_name="boxes", to_name="photo")
    first, second = prediction["result"]
    assert first == {
        "id": "box-1",
        "type": "rectanglelabels",
        "from_name": "boxes",
        "to_name": "photo",
        "original_width": 200,
        "original_height": 100,
        "image_rotation": 0,
        "score": 0.75,
        "value": {"x": 5, "y": 20, "width": 10, "height": 40, "rotation": 0, "rectanglelabels": ["Cat"]},
    }
    assert second["value"]["rectanglelabels"] == ["Dog"]
    assert (second["value"]["width"], second["value"]["height"]) == (100, 100)
    assert (prediction["model_version"], prediction["score"]) == ("pets@3", 0.625)


def test_no_labels_and_no_detections_give_no_regions() -> None:
    expected = {"model_version": "pets@3", "score": 0.0, "result": []}
    assert to_prediction(FOUND, (100, 200), {}, "pets@3") == expected
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert to_prediction(nothing, (100, 200), {0: "Dog"}, "pets@3") == expected


def test_labeling_configuration_names_every_class() -> None:
    root = ElementTree.fromstring(label_config(('cup, "glass" & <more>', "fork")))
    image, labels = root
    assert (image.tag, image.attrib) == ("Image", {"name": "image", "value": "$image"})
    assert (labels.tag, labels.attrib) == ("RectangleLabels", {"name": "label", "toName": "image"})
    assert [label.attrib["value"] for label in labels] == ['cup, "glass" & <more>', "fork"]
