"""Settings of the service: environment variables `LINEAGE_*`, or flags of `lineage serve`, which win."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from loky import cpu_count
from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from model_zoo.contract.errors import LineageError
from model_zoo.contract.images import ImageLimits
from model_zoo.runtime.base import EngineOptions, Provider, Shapes

PREFIX = "LINEAGE_"
MEBIBYTE = 1 << 20
# Variables of the CLI, of downloads and plan builds, and of the tests.
NON_SERVICE_VARIABLES = ("debug", "cache", "shared")


class SettingsError(LineageError):
    """A setting is missing, unknown or out of range."""


class Settings(BaseSettings):
    """All that can be set, with what it is good for."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, use_attribute_docstrings=True)

    repository: Path | None = None
    """Folder of model packages; by default ./models, and until it holds one, the model that comes with the service."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every one."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one."""
    default_model: str | None = None
    """Model of requests that name none: name[@version|@alias]. Not needed where there is one model."""
    load: Literal["latest", "all"] = "latest"
    """What to load ahead of requests: the default version of each model, or every version."""
    poll: PositiveFloat = 2.0
    """Seconds between two looks at the repository."""
    warm_up: bool = True
    """Run every model once before it takes requests."""

    engine: Literal["onnxruntime", "tensorrt"] = "onnxruntime"
    """Runtime; tensorrt runs serialized plans."""
    provider: Provider = "auto"
    """Execution provider of ONNX Runtime; auto is CUDA where it works, else the CPU."""
    workers: PositiveInt | None = None
    """Runs of one model at a time; by default one per core on a CPU, one on a GPU."""
    max_batch: PositiveInt | None = None
    """Most images of one run; by default 1 on a CPU, 8 on a GPU."""
    max_delay_ms: Annotated[float, Field(ge=0, le=1000)] = 2.0
    """Longest wait for a batch to fill."""
    shapes: Shapes = "square"
    """square: the model's own input size. buckets: smaller canvases for wide and tall images."""
    queue_size: PositiveInt = 64
    """Most images that wait for one model; more are refused with 503."""
    decoders: PositiveInt = cpu_count()
    """Threads that decode images."""
    timeout: PositiveFloat = 30.0
    """Seconds within which a request is received and answered."""

    max_files: PositiveInt = 32
    """Most images of one request."""
    max_body: PositiveInt = 64 * MEBIBYTE
    """Most bytes of one request."""
    max_pending: PositiveInt = 512 * MEBIBYTE
    """Most bytes of the bodies of all requests at a time; more are refused with 503."""
    max_image_bytes: PositiveInt = ImageLimits.max_bytes
    """Most bytes of one image file."""
    max_image_pixels: PositiveInt = ImageLimits.max_pixels
    """Most pixels of one image."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """debug shows every request."""

    def __init__(self, **flags: Any) -> None:
        """Take flags where given, else the environment; SettingsError names each one that is wrong."""
        try:
            super().__init__(**flags)
        except ValidationError as error:
            raise SettingsError("\n".join(_explain(fault, flags) for fault in error.errors())) from error

    @model_validator(mode="after")
    def _one_request_fits(self) -> Self:
        for part, whole in (("max_files", "queue_size"), ("max_body", "max_pending")):
            if getattr(self, part) > getattr(self, whole):
                raise ValueError(f"{part} ({getattr(self, part)}) must not exceed {whole} ({getattr(self, whole)})")
        return self

    @property
    def engine_options(self) -> EngineOptions:
        """What of it concerns the engines."""
        return EngineOptions(self.engine, self.provider, self.workers, self.max_batch, self.shapes)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Describe variables that look like settings and are none."""
    names = {variable: variable.removeprefix(PREFIX).lower() for variable in environment if variable.startswith(PREFIX)}
    known = (*Settings.model_fields, *NON_SERVICE_VARIABLES)
    strangers = {variable: name for variable, name in sorted(names.items()) if name not in known}
    close = {
        variable: difflib.get_close_matches(name, Settings.model_fields, n=1) for variable, name in strangers.items()
    }
    return [
        f"{v} is not a setting" + (f"; did you mean {PREFIX}{c[0].upper()}?" if c else "") for v, c in close.items()
    ]


def _explain(fault: ErrorDetails, flags: Collection[str]) -> str:
    """Say what is wrong under the name the user wrote."""
    if not fault["loc"]:
        return fault["msg"].removeprefix("Value error, ")
    name = str(fault["loc"][0])
    written = "--" + name.replace("_", "-") if name in flags else PREFIX + name.upper()
    return f"{written}: {fault['msg']}; got {fault['input']!r}"
