"""Methods of the inference service, each a function from its message to its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.json_format import ParseDict

from model_zoo.contract.errors import LineageError
from service.access.key_file import Scope
from service.api.offload import offload
from service.api.oip import infer, metadata, repository, statistics
from service.api.oip.grpc.codec import read_request, write_response
from service.api.oip.grpc.protobuf import SERVICE, message
from service.api.oip.served_model import ServedModel, find_model
from service.inference.errors import ServiceError
from service.inference.request import RequestContext
from service.state import AppState

Run = Callable[[AppState, Any, RequestContext], Awaitable[Any]]


@dataclass(frozen=True)
class Method:
    """A method of a service: one message, one answer."""

    path: str
    """Name of the service and of the method."""
    request: Any
    """Class of the message."""
    run: Run
    """Returns the answer."""
    needed: Scope | None = "detect"
    """Scope that an API key needs. None: a probe, which needs no key and has no limit."""


async def server_live(_: AppState, __: Any, ___: RequestContext) -> Any:
    """Report that the process runs."""
    return message("ServerLiveResponse")(live=True)


async def server_ready(state: AppState, _: Any, __: RequestContext) -> Any:
    """Report whether requests can be answered."""
    return message("ServerReadyResponse")(ready=not state.missing())


async def server_metadata(_: AppState, __: Any, ___: RequestContext) -> Any:
    """Return name, version and extensions of the server."""
    return ParseDict(metadata.describe_server(), message("ServerMetadataResponse")())


async def model_ready(state: AppState, request: Any, _: RequestContext) -> Any:
    """Report whether a model is loaded and works. An unknown one is not ready."""
    try:
        await metadata.check_ready(state, _model(state, request))
    except (LineageError, ServiceError):
        return message("ModelReadyResponse")(ready=False)
    return message("ModelReadyResponse")(ready=True)


async def model_metadata(state: AppState, request: Any, _: RequestContext) -> Any:
    """Return versions, inputs and outputs of a model."""
    document = await metadata.describe_model(state, _model(state, request))
    return ParseDict(document, message("ModelMetadataResponse")())


async def model_config(state: AppState, request: Any, _: RequestContext) -> Any:
    """Return the configuration of a model."""
    document = await metadata.configure_model(state, _model(state, request))
    return ParseDict({"config": document}, message("ModelConfigResponse")())


async def model_statistics(state: AppState, request: Any, _: RequestContext) -> Any:
    """Return the counters of a model, or of all models."""
    model = _model(state, request)
    rows = await statistics.describe(state, model) if model.name else statistics.describe_all(state)
    return ParseDict({"model_stats": rows}, message("ModelStatisticsResponse")())


async def model_infer(state: AppState, request: Any, context: RequestContext) -> Any:
    """Detect objects."""
    size = sum(tensor.contents.ByteSize() for tensor in request.inputs)  # numbers there are decoded one by one
    asked = await offload(size, read_request, request)
    return write_response(await infer.infer(state, asked, context))


async def repository_index(state: AppState, request: Any, _: RequestContext) -> Any:
    """List all versions of all models with their states, or those that are ready."""
    return ParseDict(
        {"models": metadata.list_index(state, ready_only=request.ready)}, message("RepositoryIndexResponse")()
    )


async def repository_load(state: AppState, request: Any, context: RequestContext) -> Any:
    """Load a model, and answer once it is ready."""
    await repository.load(state, request.model_name, request.parameters, context)
    return message("RepositoryModelLoadResponse")()


async def repository_unload(state: AppState, request: Any, context: RequestContext) -> Any:
    """Unload a model, and answer once no request uses it."""
    await repository.unload(state, request.model_name, context)
    return message("RepositoryModelUnloadResponse")()


def _model(state: AppState, request: Any) -> ServedModel:
    return find_model(state, request.name, request.version)


_METHODS: Final[Mapping[str, tuple[Run, Scope | None]]] = {
    "ServerLive": (server_live, None),
    "ServerReady": (server_ready, None),
    "ServerMetadata": (server_metadata, "detect"),
    "ModelReady": (model_ready, "detect"),
    "ModelMetadata": (model_metadata, "detect"),
    "ModelConfig": (model_config, "detect"),
    "ModelStatistics": (model_statistics, "detect"),
    "ModelInfer": (model_infer, "detect"),
    "RepositoryIndex": (repository_index, "detect"),
    "RepositoryModelLoad": (repository_load, "admin"),
    "RepositoryModelUnload": (repository_unload, "admin"),
}
METHODS: Final = [
    Method(f"{SERVICE}/{name}", message(f"{name}Request"), run, needed) for name, (run, needed) in _METHODS.items()
]
STREAM: Final = f"{SERVICE}/ModelStreamInfer"
PROBE_SECONDS: Final = 1.0  # to receive the message of a probe
# Methods that some clients know and nobody needs here.
NOT_OFFERED: Final = (
    "TraceSetting",
    "LogSettings",
    *(f"{kind}SharedMemory{what}" for kind in ("System", "Cuda") for what in ("Status", "Register", "Unregister")),
)
