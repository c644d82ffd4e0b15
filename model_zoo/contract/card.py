"""The model card: everything needed to run a model file and to trace its origin.

A card is one JSON document, stored in the ONNX metadata under the key `lineage.card` and beside the file as
`card.json`. Both must be equal. Runtimes need nothing else, so no runtime code depends on a YOLO generation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from model_zoo.contract import typed_json
from model_zoo.contract.errors import CardError, LineageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from model_zoo.contract.licenses import UNKNOWN

SCHEMA_VERSION = 1
METADATA_KEY = "lineage.card"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # a safe file name
Precision = Literal["fp32", "fp16", "bf16", "int8"]
Output = Literal["detections", "raw"]
Shapes = Literal["square", "buckets"]


@dataclass(frozen=True)
class Thresholds:
    """Default thresholds of a request, and the bounds the graph was built for."""

    score: float = 0.25
    """Default min score."""
    iou: float = 0.45
    """Default measure above which NMS suppresses a box."""
    distance_weight: float = 1.0
    """Default NMS measure: 1 for DIoU, 0 for plain IoU."""
    score_floor: float = 0.001
    """Lowest min score of a request. The candidate limit drops no prediction above it."""
    multi_label_below: float = 0.0
    """Below this min score a box is reported for every class above it, otherwise only for its best class."""


@dataclass(frozen=True)
class ParentWeights:
    """Weights that other weights were trained from."""

    name: str
    """File name, or run and file name."""
    sha256: str = ""
    """SHA-256 of the file in hex."""
    license: str = UNKNOWN
    """SPDX license identifier, `NOASSERTION` for a run whose owner chose none, or `unknown`."""


@dataclass(frozen=True)
class WeightsOrigin:
    """Origin of the weights."""

    license: str = UNKNOWN
    """SPDX license identifier, `NOASSERTION` for a run whose owner chose none, or `unknown`."""
    origin: str = "unknown"
    """File name, URL or training run."""
    sha256: str = ""
    """SHA-256 of the source file in hex."""
    parents: tuple[ParentWeights, ...] | None = None
    """Weights they were trained from, nearest first. Empty if there are none, null if they are not known."""

    def as_parents(self) -> tuple[ParentWeights, ...]:
        """Return the parents of weights that are trained from these: these and their own parents."""
        return (ParentWeights(self.origin, self.sha256, self.license), *(self.parents or ()))


@dataclass(frozen=True)
class Metric:
    """One measured value, such as AP 0.449 on coco_mini val2017."""

    name: str
    """Name of the metric."""
    value: float
    """Measured value."""
    dataset: str
    """Dataset and split."""
    date: str
    """Date of the measurement (ISO 8601)."""


@dataclass(frozen=True)
class ModelCard:
    """Description of one model file for runtimes and readers."""

    name: str
    """Name of the model in a repository."""
    family: str
    """Family of the network, such as yolov5."""
    variant: str
    """Variant of the family, such as yolov5n."""
    class_names: tuple[str, ...]
    """Label of each class index."""
    input_size: Size
    """Default input size (height, width) in pixels."""
    stride: int
    """Largest stride. Input sizes are multiples of it."""
    dynamic_size: bool = True
    """Whether the graph accepts other input sizes than `input_size`."""
    shapes: Shapes = "square"
    """Canvases of images by default. buckets: smaller ones for wide and tall images, as the original program has."""
    letterbox: LetterboxPolicy = field(default_factory=LetterboxPolicy)
    """Resize policy of input images."""
    thresholds: Thresholds = Thresholds()
    """Default thresholds and their bounds."""
    output: Output = "detections"
    """detections: NMS in the graph. raw: boxes and scores of all predictions."""
    candidates: int = 1024
    """Max predictions per image that enter NMS."""
    max_detections: int = 300
    """Default max detections per image."""
    precision: Precision = "fp32"
    """Precision of the network inside the file."""
    params: int = 0
    """Number of parameters of the deployed network."""
    gflops: float = 0.0
    """Billions of operations of the convolutions at `input_size`. A multiply-add counts as two."""
    weights: WeightsOrigin = WeightsOrigin()
    """Origin of the weights."""
    metrics: tuple[Metric, ...] = ()
    """Measured metrics."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Versions of the tools that exported the file."""
    schema_version: int = SCHEMA_VERSION
    """Version of this schema."""

    def __post_init__(self) -> None:
        """Check the fields and convert them to the types that `from_json` yields, so that equal cards compare equal."""
        try:
            arguments = typed_json.read_fields(type(self), asdict(self))
        except LineageError as error:
            raise CardError(f"model card: {error}") from error
        for name, value in arguments.items():
            object.__setattr__(self, name, value)
        for valid, expected, actual in self._rules():
            if not valid:
                raise CardError(f"model card: expected {expected}; got {typed_json.shorten(actual)}")

    def _rules(self) -> list[tuple[bool, str, object]]:
        height, width = self.input_size
        bounds = self.thresholds
        in_unit_range = all(0 <= value <= 1 for value in vars(bounds).values())
        has_borders = self.dynamic_size and self.letterbox.align != "stretch"
        on_grid = self.stride > 0 and height > 0 and width > 0 and height % self.stride == width % self.stride == 0
        return [
            (self.schema_version == SCHEMA_VERSION, f"schema_version {SCHEMA_VERSION}", self.schema_version),
            (NAME.fullmatch(self.name) is not None, f"a name that matches {NAME.pattern}", self.name),
            (bool(self.class_names), "at least one class name", self.class_names),
            (on_grid, f"an input_size in multiples of the stride, {self.stride}", format_size(self.input_size)),
            (self.shapes == "square" or has_borders, "shapes square, as images fill a fixed canvas", self.shapes),
            (0 <= self.letterbox.fill <= 255, "a letterbox.fill from 0 to 255", self.letterbox.fill),
            (self.candidates > 0, "at least one candidate", self.candidates),
            (self.max_detections > 0, "max_detections of at least 1", self.max_detections),
            (in_unit_range, "thresholds between 0 and 1", bounds),
            (bounds.score >= bounds.score_floor, "a default score of at least score_floor", bounds),
        ]

    def to_json(self) -> str:
        """Return the card as a JSON document."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    def to_metadata(self) -> dict[str, str]:
        """Return the entries that carry the card in ONNX metadata."""
        return {METADATA_KEY: json.dumps(asdict(self), ensure_ascii=False)}

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Parse a card.

        Raises:
            CardError: a field is missing, unknown or invalid.
        """
        try:
            data = typed_json.parse(text)
            typed_json.check_schema(data, SCHEMA_VERSION, required=True)
            arguments = typed_json.read_fields(cls, data)
        except LineageError as error:
            raise CardError(f"model card: {error}") from error
        return cls(**arguments)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> ModelCard:
        """Parse the card in the metadata of a model file.

        Raises:
            CardError: there is no card, or it is invalid.
        """
        if METADATA_KEY not in metadata:
            raise CardError(
                f"the model file contains no card (metadata {METADATA_KEY!r}); export it with `lineage export`"
            )
        return cls.from_json(metadata[METADATA_KEY])

    @classmethod
    def read(cls, path: str | Path) -> ModelCard:
        """Read a card from a JSON file.

        Raises:
            CardError: the file cannot be read, or the card is invalid.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CardError(f"model card {path}: cannot be read ({error})") from error
