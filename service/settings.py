"""Settings of the service: `LINEAGE_*` environment variables, or flags of `lineage serve`, which take precedence."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from loky import cpu_count
from pydantic import Field, PositiveInt, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from model_zoo.contract.errors import LineageError
from model_zoo.contract.expectation import expectation
from model_zoo.contract.images import ImageLimits
from model_zoo.contract.suggest import did_you_mean
from model_zoo.runtime.base import Compute, EngineOptions, Provider, Runtime, Shapes
from model_zoo.runtime.choice import check_compute
from service.telemetry.tracing import is_available

PREFIX = "LINEAGE_"
MEBIBYTE = 1 << 20
# Variables of the CLI, of downloads and plan builds, and of the tests.
NON_SERVICE_VARIABLES = ("debug", "cache", "measure", "shared")
_DEFAULT_PORT = re.compile(r"(^http://.*):80$|(^https://.*):443$")
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/\s,?#*@]+")
_HEADER = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_HTTP_ORIGIN = re.compile(r"https?://[^/\s,?#*@\\]+")
LOOPBACK = ("127.0.0.1", "::1", "[::1]", "localhost")
VIEWS = ("yolov5", "ultralytics")
# Extra and packages that a setting needs.
NEEDS = {"grpc_port": ("grpc", ("grpc", "grpc_health", "grpc_reflection")), "zmq": ("zmq", ("zmq",))}
# Settings whose state is that of one process.
ONE_PROCESS = ("grpc_port", "zmq", "model_memory", "shadow_images")
_ENDPOINT = re.compile(r"tcp://(\[[^\]]+\]|[^/:\s]+):(\d{1,5}|\*)|ipc://\S+")
T = TypeVar("T")
Rate = Annotated[float, Field(ge=0.001, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, le=1_000_000)]


class SettingsError(LineageError):
    """A setting is unknown or out of range."""


class Settings(BaseSettings):
    """All settings of the service."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    repository: Path | None = None
    """Folder of model packages. Default: ./models, or the bundled model while that is empty."""
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on. 0.0.0.0 listens on all interfaces."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on. 0 picks a free port."""
    grpc_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port of the Open Inference Protocol over gRPC. 0 picks a free port. Default: no gRPC. Needs the extra grpc."""
    zmq: str | None = None
    """Endpoint for Frigate over ZeroMQ, such as tcp://127.0.0.1:5555. Default: none. Needs the extra zmq."""
    views: str | None = None
    """Output layouts of other programs to offer over the Open Inference Protocol: yolov5,ultralytics."""
    default_model: str | None = None
    """Model for requests without one: name[@version|@alias]. Not needed if there is only one model."""
    load: Literal["latest", "all"] = "latest"
    """Models to load at startup: the default version of each model, or all versions."""
    poll: Seconds = 2.0
    """Seconds between two checks of the repository for changes."""
    warm_up: bool = True
    """Run every model once before it receives requests."""
    verify_on_load: bool = True
    """Run the golden images of a package when it is loaded, and refuse it if the detections differ."""
    model_memory: PositiveInt | None = None
    """Max bytes of all loaded models. The least recently used are unloaded. Default: no limit."""
    max_load_waiters: PositiveInt = 64
    """Max requests waiting for models to load. More are refused with 503."""
    shadow_images: Annotated[int, Field(ge=0, le=1000)] = 0
    """Images of shadow traffic to keep in memory: those with the most different detections. 0 keeps none."""

    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that receive requests. With more than one, the engines run in a process of their own."""
    engine: Runtime = "onnxruntime"
    """Runtime of the models. tensorrt runs serialized plans."""
    provider: Provider = "auto"
    """Provider of ONNX Runtime, or openvino. auto uses CUDA where it works, else what is fastest on this CPU."""
    workers: PositiveInt | None = None
    """Concurrent inferences per model. Default: one per core on CPU, two on GPU."""
    max_batch: PositiveInt | None = None
    """Max images per inference. Default: 1 on CPU, 8 on GPU."""
    max_delay_ms: Annotated[float, Field(ge=0, le=1000)] = 2.0
    """Max milliseconds an image waits for its batch to fill."""
    shapes: Shapes = "auto"
    """square: the model's input size. buckets: smaller canvases for wide and tall images. auto: as the card says."""
    compute: Compute = "auto"
    """Precision of float32 models. bf16 needs OpenVINO. auto: the fastest, or fp32 where the provider is given."""
    cuda_graphs: bool = True
    """Record inferences of engine tensorrt as CUDA graphs, where the plan allows it."""
    queue_size: PositiveInt = 64
    """Max images waiting for one model, and for decoding. More are refused with 503."""
    decoders: PositiveInt = cpu_count()
    """Threads that decode images."""
    exact_decode: bool = False
    """Decode large JPEGs at full size. Default: at 1/2, 1/4 or 1/8 of it, where the model's input needs no more."""
    timeout: Seconds = 30.0
    """Seconds to receive and answer a request. X-Request-Timeout can shorten it."""
    run_timeout: Seconds = 10.0
    """Seconds an inference may take. Then its engine is replaced, and the images are tried once more."""
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """Seconds after SIGTERM in which requests are still accepted, while GET /health/ready answers 503."""
    header_timeout: Seconds = 15.0
    """Seconds to receive the head of a request."""
    keep_alive_timeout: Seconds = 75.0
    """Seconds an idle connection stays open. Must exceed the idle timeout of a load balancer in front."""
    max_connections: PositiveInt | None = None
    """Max open connections. Default: 10,000, or three quarters of the open file limit (ulimit -n) if that is less."""

    max_files: PositiveInt = 32
    """Max images per request."""
    max_body: PositiveInt = 64 * MEBIBYTE
    """Max bytes per request."""
    max_pending: PositiveInt = 512 * MEBIBYTE
    """Max bytes of all request bodies in memory. More are refused with 503."""
    max_image_bytes: PositiveInt = ImageLimits.max_bytes
    """Max bytes per image file."""
    max_image_pixels: PositiveInt = ImageLimits.max_pixels
    """Max pixels per image."""
    keys: Path | None = None
    """File of API keys, written by lineage keys. Default: requests need no key, and there is no /admin."""
    rate_per_key: Rate | None = None
    """Requests per second allowed for each API key. More are refused with 429. Default: no limit."""
    rate_per_address: Rate | None = None
    """Requests per second allowed for each client address. More are refused with 429. Default: no limit."""
    rate_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Requests allowed at once beyond the rate."""
    trusted_proxies: str | None = None
    """Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto count, separated by commas."""
    ssl_certfile: Path | None = None
    """File of the TLS certificate chain (PEM). The server then speaks https:// only."""
    ssl_keyfile: Path | None = None
    """File of the private key (PEM). Default: it is in ssl_certfile."""
    cors_origins: str | None = None
    """Origins whose pages may call the server, separated by commas: https://app.example. * allows all."""
    cors_headers: str = "X-Request-Id"
    """Request headers that these pages may send, separated by commas."""
    cors_max_age: Annotated[int, Field(ge=0)] = 600
    """Seconds a browser may remember the answer to a preflight request."""
    label_studio_url: str | None = None
    """Addresses that images of Label Studio's tasks may be fetched from, its own first: http://labels.example:8080."""
    label_studio_token: Path | None = None
    """File of an access token for Label Studio. It is sent to the first of these addresses only."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Min level of log records. info logs every request."""
    log_format: Literal["logfmt", "json"] = "logfmt"
    """Format of log records, one line each."""
    tracing: bool = False
    """Send OpenTelemetry traces to OTEL_EXPORTER_OTLP_ENDPOINT. Needs the extra otel."""

    def __init__(self, **flags: Any) -> None:
        """Read flags, and the environment for the settings without a flag.

        Raises:
            SettingsError: lists all invalid settings.
        """
        try:
            super().__init__(**flags)
        except ValidationError as error:
            raise SettingsError("\n".join(_explain(fault, flags) for fault in error.errors())) from error

    @field_validator("grpc_port", "zmq")
    @classmethod
    def _is_installed(cls, value: T, info: ValidationInfo) -> T:
        extra, packages = NEEDS[str(info.field_name)]
        if value is not None and not all(map(find_spec, packages)):
            raise ValueError(f"expected the extra {extra}; install it with: pip install 'yolo-lineage[{extra}]'")
        return value

    @field_validator("zmq")
    @classmethod
    def _is_endpoint(cls, text: str | None) -> str | None:
        if text and not _ENDPOINT.fullmatch(text):
            raise ValueError("expected an endpoint such as tcp://127.0.0.1:5555 or ipc:///run/frigate.sock")
        return text

    @field_validator("views")
    @classmethod
    def _are_views(cls, text: str | None) -> str | None:
        for name in split_list(text or ""):
            if name not in VIEWS:
                raise ValueError(f"expected {' or '.join(VIEWS)}, separated by commas; {name!r} is none")
        return text or None

    @field_validator("tracing")
    @classmethod
    def _can_trace(cls, tracing: bool) -> bool:
        if tracing and not is_available():
            raise ValueError("expected the extra otel; install it with: pip install 'yolo-lineage[otel]'")
        return tracing

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, text: str | None) -> str | None:
        origins = [_DEFAULT_PORT.sub(r"\1\2", origin.removesuffix("/").lower()) for origin in split_list(text or "")]
        for origin in origins:
            if not origin.isascii() or not _ORIGIN.fullmatch(origin):
                raise ValueError(f"expected origins such as https://app.example:8443, or *; {origin!r} is none")
        return ",".join(origins) or None

    @field_validator("cors_headers")
    @classmethod
    def _are_headers(cls, text: str) -> str:
        for name in split_list(text):
            if not _HEADER.fullmatch(name):
                raise ValueError(f"expected names such as X-Request-Id, separated by commas; {name!r} is none")
        return text

    @field_validator("label_studio_url")
    @classmethod
    def _are_http_origins(cls, text: str | None) -> str | None:
        origins = [origin.removesuffix("/").lower() for origin in split_list(text or "")]
        for origin in origins:
            if not _HTTP_ORIGIN.fullmatch(origin):
                raise ValueError(f"expected addresses such as http://labels.example:8080; {origin!r} is none")
        return ",".join(origins) or None

    @model_validator(mode="after")
    def _token_belongs_to_label_studio(self) -> Self:
        if self.label_studio_token and not self.label_studio_url:
            raise ValueError(f"label_studio_token ({self.label_studio_token}) needs label_studio_url, where it is sent")
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str | None) -> str | None:
        for item in split_list(text or ""):
            try:
                ip_network(item)
            except ValueError as error:
                example = "expected addresses or networks such as 10.0.0.7,172.16.0.0/12"
                raise ValueError(f"{example}, separated by commas; {error}") from None
        return text or None

    @model_validator(mode="after")
    def _key_belongs_to_certificate(self) -> Self:
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ValueError(f"ssl_keyfile ({self.ssl_keyfile}) needs ssl_certfile, the certificate of that key")
        return self

    @model_validator(mode="after")
    def _keys_protect_all(self) -> Self:
        if self.zmq and self.keys and not is_local(self.zmq):
            reason = "would answer requests without a key: ZeroMQ has none"
            raise ValueError(f"zmq ({self.zmq}) {reason}; use tcp://127.0.0.1:5555 or ipc://, or no keys")
        return self

    @model_validator(mode="after")
    def _kept_images_need_keys(self) -> Self:
        if self.shadow_images and not self.keys and self.host not in LOOPBACK:
            reason = f"would show images of users to everybody who can reach {self.host}"
            raise ValueError(f"shadow_images ({self.shadow_images}) {reason}: set keys, or listen on 127.0.0.1")
        return self

    @model_validator(mode="after")
    def _provider_computes_bf16(self) -> Self:
        check_compute(self.provider, self.compute)
        return self

    @model_validator(mode="after")
    def _one_request_fits(self) -> Self:
        for part, whole in (("max_files", "queue_size"), ("max_body", "max_pending")):
            if getattr(self, part) > getattr(self, whole):
                raise ValueError(f"{part} ({getattr(self, part)}) must not exceed {whole} ({getattr(self, whole)})")
        return self

    @model_validator(mode="after")
    def _processes_share_all(self) -> Self:
        if self.processes > 1 and not hasattr(os, "memfd_create"):
            raise ValueError(f"processes ({self.processes}) needs Linux; leave it at 1")
        for name in ONE_PROCESS if self.processes > 1 else ():
            if (value := getattr(self, name)) != Settings.model_fields[name].default:
                raise ValueError(f"{name} ({value}) needs one process; got processes {self.processes}")
        return self

    @property
    def engine_options(self) -> EngineOptions:
        """Engine settings."""
        return EngineOptions(
            runtime=self.engine,
            provider=self.provider,
            workers=self.workers,
            max_batch=self.max_batch,
            shapes=self.shapes,
            compute=self.compute,
            cuda_graphs=self.cuda_graphs,
        )

    @property
    def shadow_options(self) -> EngineOptions:
        """Engine settings of shadow versions: one image at a time, on one thread."""
        return replace(self.engine_options, workers=1, max_batch=1, threads=1)


def is_local(endpoint: str) -> bool:
    """Return whether only this machine can reach a ZeroMQ endpoint."""
    scheme, _, address = endpoint.partition("://")
    return scheme == "ipc" or address.rpartition(":")[0] in LOOPBACK


def split_list(text: str) -> list[str]:
    """Return the items of a list separated by commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return a warning for each `LINEAGE_*` variable that is not a setting."""
    known = (*Settings.model_fields, *NON_SERVICE_VARIABLES)
    names = {variable: variable.removeprefix(PREFIX).lower() for variable in environment if variable.startswith(PREFIX)}
    unknown = {variable: name for variable, name in sorted(names.items()) if name not in known}
    hints = {variable: did_you_mean(name, Settings.model_fields, count=1) for variable, name in unknown.items()}
    meant = {variable: hint.removeprefix("did you mean ").upper() for variable, hint in hints.items()}
    return [
        f"{variable} is ignored: it is not a setting" + (f"; did you mean {PREFIX}{name}" if name else "")
        for variable, name in meant.items()
    ]


def _explain(fault: ErrorDetails, flags: Collection[str]) -> str:
    """Describe an invalid setting by the name the user wrote: a flag or a variable."""
    if not fault["loc"]:
        return expectation(fault["msg"])
    name = str(fault["loc"][0])
    written = "--" + name.replace("_", "-") if name in flags else PREFIX + name.upper()
    return f"{written}: {expectation(fault['msg'])}; got {fault['input']!r}"
