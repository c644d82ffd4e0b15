"""The model card: all that must be known of a model file to run it and to trust it.

A card is one JSON document. It travels in the ONNX metadata under the key `lineage.card` and lies beside the file as
`card.json`; both must be the same. A runtime needs nothing else: no code knows a generation.
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
from model_zoo.contract.letterbox import LetterboxPolicy, Size

SCHEMA_VERSION = 1
METADATA_KEY = "lineage.card"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # a safe file name
Precision = Literal["fp32", "fp16", "bf16", "int8"]
Output = Literal["detections", "raw"]


@dataclass(frozen=True)
class Thresholds:
    """Defaults of a request and the bounds the graph was built for.

    score, iou: used where a request names none. distance_weight: 1 for DIoU-NMS, 0 for IoU-NMS. score_floor: lowest
    score a request may ask for; `ModelCard.candidates` loses nothing above it. multi_label_below: a request for scores
    below this gets every class of a box that is over its threshold, at or above it the best class alone.
    """

    score: float = 0.25
    iou: float = 0.45
    distance_weight: float = 1.0
    score_floor: float = 0.001
    multi_label_below: float = 0.0


@dataclass(frozen=True)
class WeightsOrigin:
    """Where the weights come from: license (SPDX), origin (file name, URL or run), sha256 of the source file."""

    license: str = "unknown"
    origin: str = "unknown"
    sha256: str = ""


@dataclass(frozen=True)
class Metric:
    """One measured value, e.g. AP 0.449 on coco_mini val2017, with the day it was measured (ISO 8601)."""

    name: str
    value: float
    dataset: str
    date: str


@dataclass(frozen=True)
class ModelCard:
    """What a runtime and a reader need to know of one model file (sizes in pixels, (height, width)).

    input_size: the size the model is meant for; any multiple of `stride` is taken where `dynamic_size` is true.
    output: `detections` (NMS in the graph) or `raw` (boxes and scores of all predictions). candidates: most
    predictions of one image that enter NMS. params: of the deployed network. gflops: at input_size, two per
    multiply-add of the convolutions.
    """

    name: str
    family: str
    variant: str
    class_names: tuple[str, ...]
    input_size: Size
    stride: int
    dynamic_size: bool = True
    letterbox: LetterboxPolicy = field(default_factory=LetterboxPolicy)
    thresholds: Thresholds = Thresholds()
    output: Output = "detections"
    candidates: int = 1024
    max_detections: int = 300
    precision: Precision = "fp32"
    params: int = 0
    gflops: float = 0.0
    weights: WeightsOrigin = WeightsOrigin()
    metrics: tuple[Metric, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Check the card and bring it to the form its own document reads back as: tuples, floats, plain numbers."""
        try:
            arguments = typed_json.read_fields(type(self), asdict(self))
        except LineageError as error:
            raise CardError(f"model card: {error}") from error
        for name, value in arguments.items():
            object.__setattr__(self, name, value)
        for ok, expected, came in self._rules():
            if not ok:
                raise CardError(f"model card: expected {expected}; got {typed_json.shorten(came)}")

    def _rules(self) -> list[tuple[bool, str, object]]:
        height, width = self.input_size
        bounds = self.thresholds
        unit = all(0 <= value <= 1 for value in vars(bounds).values())
        whole = self.stride > 0 and height > 0 and width > 0 and height % self.stride == width % self.stride == 0
        return [
            (self.schema_version == SCHEMA_VERSION, f"schema_version {SCHEMA_VERSION}", self.schema_version),
            (NAME.fullmatch(self.name) is not None, f"a name that matches {NAME.pattern}", self.name),
            (bool(self.class_names), "at least one class name", self.class_names),
            (whole, f"an input_size in positive steps of the stride, {self.stride}", self.input_size),
            (0 <= self.letterbox.fill <= 255, "a letterbox.fill from 0 to 255", self.letterbox.fill),
            (self.candidates > 0, "at least one candidate", self.candidates),
            (self.max_detections > 0, "max_detections of at least one", self.max_detections),
            (unit, "thresholds between 0 and 1", bounds),
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
        """Read a card; CardError names the first thing that is missing, unknown or wrong."""
        try:
            data = typed_json.parse(text)
            version = data.get("schema_version") if isinstance(data, dict) else SCHEMA_VERSION
            if version != SCHEMA_VERSION:  # first: a card of another schema has other fields
                raise LineageError(f"expected schema_version {SCHEMA_VERSION}; got {version!r}; export the model again")
            arguments = typed_json.read_fields(cls, data)
        except LineageError as error:
            raise CardError(f"model card: {error}") from error
        return cls(**arguments)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> ModelCard:
        """Read the card out of a model file's metadata."""
        if METADATA_KEY not in metadata:
            raise CardError(
                f"the model file carries no card (metadata {METADATA_KEY!r}); export it with `lineage export`"
            )
        return cls.from_json(metadata[METADATA_KEY])

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """Read a card from a file."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CardError(f"model card {path}: cannot be read ({error})") from error
