"""Requests and responses of the native interface. The routes build their JSON from these models."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from model_zoo.contract.class_filter import parse_classes
from model_zoo.contract.nms import DISTANCE_WEIGHTS, OverlapMeasure
from service.api.problems import Problem
from service.inference.model_store import PackageState
from service.inference.query import QueryOptions

ClassName = Annotated[str, Field(max_length=10_000)]
_CLASSES: Final = (
    "Names or indices of the classes to report, repeated or separated by commas. A name with a comma is quoted. "
    "By default all."
)


class DetectQuery(BaseModel):
    """Query parameters of a detection request. The defaults are those of the model's card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[
        Annotated[str, Field(min_length=1, max_length=256)] | None,
        Field(description="name, name@version or name@alias. By default the default model."),
    ] = None
    score: Annotated[
        float | None, Field(description="Min score of a detection, 0 to 1. By default that of the card.")
    ] = None
    iou: Annotated[
        float | None,
        Field(
            description="Overlap above which the lower-scored of two detections of one class is dropped, 0 to 1. "
            "By default that of the card."
        ),
    ] = None
    nms: Annotated[
        OverlapMeasure | None,
        Field(
            description="Overlap measure: `diou` also uses the distance of the box centers (arXiv:1911.08287). "
            "By default that of the card."
        ),
    ] = None
    classes: Annotated[Annotated[list[ClassName], Field(max_length=1000)] | None, Field(description=_CLASSES)] = None
    max_detections: Annotated[
        Annotated[int, Field(ge=1, le=100_000)] | None,
        Field(description="Max number of detections per image. By default that of the card."),
    ] = None

    def options(self) -> QueryOptions:
        """Return the options for the detection service."""
        return QueryOptions(
            score=self.score,
            iou=self.iou,
            distance_weight=DISTANCE_WEIGHTS[self.nms] if self.nms else None,
            classes=None if self.classes is None else parse_classes(self.classes),
            max_detections=self.max_detections,
        )


class Detection(BaseModel):
    """One object. The box is x1, y1, x2, y2 in pixels of the image as displayed (after EXIF rotation)."""

    box: tuple[float, float, float, float]
    score: float
    class_id: int
    label: str


class ImageSize(BaseModel):
    """Size in pixels, as displayed."""

    width: int
    height: int


class Result(BaseModel):
    """Result of one image: `image` and `detections`, or `error` if the file cannot be used."""

    file: str | None
    image: ImageSize | None = None
    detections: list[Detection] | None = None
    error: Problem | None = None


class ModelName(BaseModel):
    """The model that answered."""

    name: str
    version: int


class Timing(BaseModel):
    """Milliseconds. `total` is the whole request, the stages are those of the slowest image."""

    decode: float
    queue: float
    infer: float
    total: float


class DetectAnswer(BaseModel):
    """Results in the order of the files."""

    model: ModelName
    results: list[Result]
    timing_ms: Timing


class Parent(BaseModel):
    """Weights that other weights were trained from."""

    name: str
    sha256: str
    license: str


class Trial(BaseModel):
    """Measurements of one configuration on this machine. With a `problem`, it cannot be used.

    `agreement` is the share of the detections on the golden images that equal those of float32.
    """

    provider: str
    compute: str
    lone_ms: float
    images_per_second: float
    memory_mb: float
    agreement: float
    problem: str | None = None


class EngineDetail(BaseModel):
    """Engine of a loaded version. `trials` is empty if nothing was measured to choose it."""

    device: str
    provider: str
    compute: str
    workers: int
    trials: list[Trial] = []


class Version(BaseModel):
    """One version of a model and its state. If it has failed: `reason`, and the time of the next try (ISO 8601).

    A damaged version has no digest. Its files are checked at every poll. `terms` has the licenses of the weights and of
    their parents that bind users, and how. `parents` is null if they are not known.
    """

    version: int
    state: PackageState
    digest: str | None
    reason: str | None = None
    next_try: str | None = None
    license: str | None = None
    parents: list[Parent] | None = None
    terms: dict[str, str] = {}
    engine: EngineDetail | None = None


class Model(BaseModel):
    """A model of the repository. `default` is the version that answers for its bare name.

    `degraded` lists the references whose version cannot be served, and what answers instead.
    """

    name: str
    default: int | None
    aliases: dict[str, int]
    versions: list[Version]
    problems: list[str]
    degraded: list[str] = []


class VersionDetail(Version):
    """A version with its card and the size of its model file. A damaged version has neither."""

    card: dict[str, Any] | None = None
    model_bytes: int | None = None


class Share(BaseModel):
    """A version or alias, and the share of the requests that reach it, 0 to 100."""

    version: str
    percent: float


class RolloutSummary(BaseModel):
    """Which versions answer for the bare name, and which one is compared. `/admin` has the whole policy."""

    stable: str | None = None
    canary: Share | None = None
    shadow: Share | None = None


class ModelDetail(Model):
    """A model with the cards of its versions and its rollout policy. `card` is that of the default version."""

    versions: list[VersionDetail]  # type: ignore[assignment]  # readers of the list get more fields
    card: dict[str, Any] | None = None
    rollout: RolloutSummary | None = None


class Models(BaseModel):
    """All models, what in the repository cannot be used and why, and the model for requests that name none."""

    models: list[Model]
    problems: list[str]
    default_model: str | None = None


class Health(BaseModel):
    """Health of the service. `missing` lists what must happen before it is ready.

    `degraded` is there if something else is served than the repository and the settings ask for.
    """

    status: Literal["ready", "not ready", "live"]
    missing: list[str] = []
    degraded: list[str] = []
