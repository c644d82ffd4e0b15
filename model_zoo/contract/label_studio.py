"""Detections as predictions of Label Studio, and the labeling configuration that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from model_zoo.contract.detections import Detections
from model_zoo.contract.letterbox import Size

# Names of the tags in Label Studio's template for object detection.
FROM_NAME: Final = "label"
TO_NAME: Final = "image"
_PERCENT_DECIMALS: Final = 6


def to_prediction(
    detections: Detections,
    size: Size,
    labels: Mapping[int, str],
    model_version: str,
    *,
    from_name: str = FROM_NAME,
    to_name: str = TO_NAME,
) -> dict[str, Any]:
    """Return detections on an image of `size` (height, width) as a prediction: regions in per cent of the image.

    Args:
        detections: Detections in pixels of the image. Those of classes without a label are left out.
        size: Height and width of the image.
        labels: Label of the project by class index.
        model_version: Name of the model.
        from_name: Name of the tag with the labels.
        to_name: Name of the tag with the image.
    """
    found = detections.filter_classes(labels).to_dict(labels)
    regions = [
        {
            "id": f"box-{number}",
            "type": "rectanglelabels",
            "from_name": from_name,
            "to_name": to_name,
            "original_width": size[1],
            "original_height": size[0],
            "image_rotation": 0,
            "score": detection["score"],
            "value": _percentages(detection["box"], size) | {"rotation": 0, "rectanglelabels": [detection["label"]]},
        }
        for number, detection in enumerate(found, start=1)
    ]
    scores = [detection["score"] for detection in found]
    score = round(sum(scores) / len(scores), _PERCENT_DECIMALS) if scores else 0.0
    return {"model_version": model_version, "score": score, "result": regions}


def label_config(class_names: Sequence[str]) -> str:
    """Return a labeling configuration (XML) of a project with these labels."""
    labels = "\n".join(f'    <Label value="{escape(name)}"/>' for name in class_names)
    return f"""<View>
  <Image name="{TO_NAME}" value="${TO_NAME}"/>
  <RectangleLabels name="{FROM_NAME}" toName="{TO_NAME}">
{labels}
  </RectangleLabels>
</View>
"""


def _percentages(box: Sequence[float], size: Size) -> dict[str, float]:
    """Return a box in pixels as left, top, width and height in per cent."""
    height, width = size
    left, top, right, bottom = box
    values = {
        "x": left / width,
        "y": top / height,
        "width": (right - left) / width,
        "height": (bottom - top) / height,
    }
    return {name: round(100 * value, _PERCENT_DECIMALS) for name, value in values.items()}
