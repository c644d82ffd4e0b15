"""Requests and answers of Roboflow's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import uuid4

from pydantic import BaseModel, Discriminator, Field, Tag

from service.api.base64_text import decode_base64
from service.api.errors import BadRequest
from service.inference.query import QueryOptions
from service.inference.results import ImageResult

CONFIDENCE: Final = 0.4
IOU: Final = 0.3
MAX_DETECTIONS: Final = 300
BASE64: Final = "base64"
_IOU_THRESHOLD: Final = "Overlap above which the lower-scored of two predictions of one class is dropped. Default: 0.3."


class ModelRequest(BaseModel):
    """A model to load."""

    model_id: Annotated[str, Field(min_length=1, max_length=256, description="NAME, NAME/VERSION or NAME/ALIAS.")]
    api_key: Annotated[str | None, Field(description="API key, unless the query or a header has it.")] = None


class Image(BaseModel):
    """An image file."""

    type: Annotated[str, Field(description="base64. The server fetches nothing from other addresses.")] = BASE64
    value: Annotated[str, Field(description="The file as base64 text.")]

    def take(self, where: str) -> bytes:
        """Return the file, and forget its text.

        Raises:
            BadRequest: the type is not base64, or the text is something else.
        """
        if self.type != BASE64:
            raise BadRequest(f"{where}.type: expected {BASE64}, the file itself; got {self.type[:100]!r}")
        text, self.value = self.value, ""
        return decode_base64(text, f"{where}.value")


def _form(image: object) -> str:
    return "list" if isinstance(image, list) else "object"


class InferRequest(ModelRequest):
    """Images to detect objects in, and options. Members for other tasks are ignored."""

    image: Annotated[
        Annotated[Image, Tag("object")] | Annotated[list[Image], Field(min_length=1), Tag("list")],
        Discriminator(_form),
        Field(description="One image, or a list, which is answered by a list."),
    ]
    confidence: Annotated[float | None, Field(description="Min confidence of a prediction. Default: 0.4.")] = None
    iou_threshold: Annotated[float | None, Field(description=_IOU_THRESHOLD)] = None
    max_detections: Annotated[
        Annotated[int, Field(ge=1)] | None, Field(description="Max number of predictions per image. Default: 300.")
    ] = None
    class_filter: Annotated[list[str] | None, Field(description="Names of the classes to report. Default: all.")] = None
    class_agnostic_nms: Annotated[bool | None, Field(description="Must not be true: NMS works per class.")] = None

    def text_size(self) -> int:
        """Return the length of the texts of all images."""
        images = self.image if isinstance(self.image, list) else [self.image]
        return sum(len(image.value) for image in images)

    def take_images(self, max_files: int) -> list[bytes]:
        """Return the image files, and forget their texts.

        Raises:
            BadRequest: there are more than `max_files`, or one is no base64.
        """
        if not isinstance(self.image, list):
            return [self.image.take("image")]
        if len(self.image) > max_files:
            raise BadRequest(f"image: expected at most {max_files} files; got {len(self.image)}; send several requests")
        return [image.take(f"image[{index}]") for index, image in enumerate(self.image)]

    def options(self) -> QueryOptions:
        """Return the options for the detection service.

        Raises:
            BadRequest: suppression across classes is asked for.
        """
        if self.class_agnostic_nms:
            raise BadRequest("class_agnostic_nms: expected false; the models suppress boxes of one class only")
        return make_options(self.confidence, self.iou_threshold, self.max_detections, self.class_filter)


def make_options(
    confidence: float | None = None,
    iou: float | None = None,
    max_detections: int | None = None,
    classes: Sequence[str] | None = None,
) -> QueryOptions:
    """Return options with the defaults of the protocol. A confidence below the model's lowest score is that score."""
    return QueryOptions(
        score=CONFIDENCE if confidence is None else confidence,
        iou=IOU if iou is None else iou,
        classes=classes or None,
        max_detections=max_detections or MAX_DETECTIONS,
        clamp=True,
    )


def to_reference(model_id: str) -> str:
    """Return the reference of a model id: `name/2` is `name@2`."""
    return "@".join(model_id.rsplit("/", 1))


def to_answer(result: ImageResult, class_names: Sequence[str], seconds: float) -> dict[str, Any]:
    """Return the detections of one image. Boxes have the numbers of POST /detect, as center and size."""
    height, width = result.size
    return {
        "inference_id": str(uuid4()),
        "time": round(seconds, 6),
        "image": {"width": width, "height": height},
        "predictions": [_prediction(**detection) for detection in result.detections.to_dict(class_names)],
    }


def _prediction(box: Sequence[float], score: float, class_id: int, label: str) -> dict[str, Any]:
    left, top, right, bottom = box
    return {
        "x": round((left + right) / 2, 4),
        "y": round((top + bottom) / 2, 4),
        "width": round(right - left, 3),
        "height": round(bottom - top, 3),
        "confidence": score,
        "class": label,
        "class_id": class_id,
        "detection_id": str(uuid4()),
    }
