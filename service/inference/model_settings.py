"""Settings of one model, in the files `<name>/service.json` and `<name>/<version>/service.json` of the repository.

All fields are optional. Those of a version replace those of its model, and both replace those of the server. A file
that cannot be used leaves the last good settings in force.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from model_zoo.contract import pipeline, typed_json
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import read_text
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Problem
from model_zoo.runtime.base import Compute, EngineOptions, Provider, Shapes
from service.inference.batcher import BatchingOptions

FILE_NAME: Final = "service.json"
MAX_DELAY_MS: Final = 1000.0


@dataclass(frozen=True)
class ModelSettings:
    """Settings of one model. None means the setting of the server, or the default of the model's card."""

    workers: int | None = None
    """Concurrent inferences."""
    max_batch: int | None = None
    """Max images per inference."""
    max_delay_ms: float | None = None
    """Max milliseconds an image waits for its batch to fill."""
    queue_size: int | None = None
    """Max images waiting for the model."""
    shapes: Shapes | None = None
    """square: the model's input size. buckets: smaller canvases for wide and tall images. auto: as the card says."""
    compute: Compute | None = None
    """Precision of float32 models. auto: the fastest, or fp32 where the provider is given."""
    provider: Provider | None = None
    """Execution provider of ONNX Runtime. auto: CUDA where it works, otherwise the fastest."""
    score: float | None = None
    """Min score of a detection for requests without one."""
    iou: float | None = None
    """Suppression threshold for requests without one."""
    max_detections: int | None = None
    """Max number of detections per image for requests without one."""

    def __post_init__(self) -> None:
        """Check the ranges that depend on no card.

        Raises:
            LineageError: a value is out of range.
        """
        for name in ("workers", "max_batch", "queue_size"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise LineageError(f"{name}: expected an integer of at least 1; got {value}")
        if self.max_delay_ms is not None and not 0 <= self.max_delay_ms <= MAX_DELAY_MS:
            raise LineageError(f"max_delay_ms: expected 0 to {MAX_DELAY_MS:g}; got {self.max_delay_ms}")

    def engine_options(self, options: EngineOptions) -> EngineOptions:
        """Return the options of the model's engine. `options` are those of the server."""
        return replace(options, **self._given("workers", "max_batch", "shapes", "compute", "provider"))

    def batching(self, options: BatchingOptions) -> BatchingOptions:
        """Return the limits of the model's queue. `options` are those of the server."""
        delay = options.max_delay if self.max_delay_ms is None else self.max_delay_ms / 1000
        return replace(options, max_delay=delay, **self._given("queue_size"))

    def card(self, card: ModelCard) -> ModelCard:
        """Return the card with the defaults of these settings.

        Raises:
            QueryError: a default is outside what the model allows.
        """
        defaults = self._given("score", "iou", "max_detections")
        pipeline.make_query(card, **defaults)
        limit = {name: value for name, value in defaults.items() if name == "max_detections"}
        return replace(card, thresholds=replace(card.thresholds, **self._given("score", "iou")), **limit)

    def to_document(self) -> dict[str, Any]:
        """Return the fields that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def _given(self, *names: str) -> dict[str, Any]:
        return {name: value for name, value in self.to_document().items() if name in names}


NO_SETTINGS: Final = ModelSettings()


def read_settings(
    packages: Collection[Package], previous: Mapping[Package, ModelSettings]
) -> tuple[dict[Package, ModelSettings], list[Problem]]:
    """Read the settings of all packages, and list the files that leave the previous ones in force.

    Slow: call it in a thread.
    """
    settings: dict[Package, ModelSettings] = {}
    problems: dict[str, Problem] = {}
    for package in packages:
        try:
            settings[package] = _read(package)
        except LineageError as error:
            settings[package] = previous.get(package, NO_SETTINGS)
            problems[str(error)] = Problem(package.name, None, f"{error}; the previous settings stay in force")
    return settings, list(problems.values())


def _read(package: Package) -> ModelSettings:
    """Read the settings of a package, those of the version last."""
    fields: dict[str, Any] = {}
    for folder in (package.path.parent, package.path):
        path = folder / FILE_NAME
        try:
            fields |= read_file(path)
            settings = ModelSettings(**fields)
            settings.card(package.card)
        except LineageError as error:
            where = path.relative_to(package.path.parents[1])
            raise LineageError(f"{where}: {error}") from error
    return settings


def read_file(path: Path) -> dict[str, Any]:
    """Return the fields of a settings file, or none without a file.

    Raises:
        LineageError: it is damaged or cannot be read.
    """
    try:
        return typed_json.read_fields(ModelSettings, typed_json.parse(read_text(path)))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise LineageError(f"cannot be read ({error})") from error
