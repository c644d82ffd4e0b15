"""Shapes of requests and answers, as /docs and /openapi.json show them.

Answers are built as plain objects and not run through these models: their numbers come from the contract's own types.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

ClassName = Annotated[str, Field(max_length=10_000)]


class DetectQuery(BaseModel):
    """What a detection request may ask for; the model's card gives the defaults."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    model: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """name, name@version or name@alias; may be left out where there is one model."""
    score: float | None = None
    """Lowest score of a detection, 0 to 1."""
    iou: float | None = None
    """Overlap above which the lower-scored of two detections of one class is dropped, 0 to 1."""
    nms: Literal["diou", "iou"] | None = None
    """Measure of overlap: diou also counts the distance of the centers (arXiv:1911.08287)."""
    classes: Annotated[list[ClassName], Field(max_length=1000)] | None = None
    """Names or indices of the classes to report; repeated or separated by commas."""
    max_detections: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Most detections of one image."""

    @property
    def class_list(self) -> list[str] | None:
        """The classes, one by one."""
        if self.classes is None:
            return None
        return [name.strip() for group in self.classes for name in group.split(",")]


class Detection(BaseModel):
    """One object: corners x1, y1, x2, y2 in pixels of the image as displayed (after EXIF rotation)."""

    box: tuple[float, float, float, float]
    score: float
    class_id: int
    label: str


class ImageSize(BaseModel):
    """Size in pixels, as displayed."""

    width: int
    height: int


class Problem(BaseModel):
    """Why a request, or one file of it, was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, str]] = []


class Result(BaseModel):
    """What was found on one image; `error` stands in place of the rest where the file could not be used."""

    file: str | None
    image: ImageSize | None = None
    detections: list[Detection] | None = None
    error: Problem | None = None


class ModelName(BaseModel):
    """The model that answered."""

    name: str
    version: int


class Timing(BaseModel):
    """Milliseconds: of the slowest image where there are several; total is the request's, from its head on."""

    decode: float
    queue: float
    infer: float
    total: float


class DetectAnswer(BaseModel):
    """Results in the order of the files."""

    model: ModelName
    results: list[Result]
    timing_ms: Timing


class Version(BaseModel):
    """One version of a model and where it is in its life."""

    version: int
    state: Literal["loaded", "loading", "failed", "available"]
    digest: str


class Model(BaseModel):
    """A model of the repository; `default` is the version that its bare name means."""

    name: str
    default: int | None
    aliases: dict[str, int]
    versions: list[Version]
    problems: list[str]


class Models(BaseModel):
    """All models, and what in the repository cannot be used and why."""

    models: list[Model]
    problems: list[str]


class Health(BaseModel):
    """`missing` says what has to happen before the service can answer."""

    status: Literal["ready", "not ready", "live"]
    missing: list[str] = []
