"""/v2: the Open Inference Protocol over HTTP, for tritonclient, kserve and perf_analyzer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from service.api.body import receive
from service.api.context import read_context
from service.api.detection import cancel_on_disconnect
from service.api.errors import BadRequest
from service.api.json_body import Model, parse_model
from service.api.offload import offload
from service.api.oip import documents, infer, metadata, repository, statistics
from service.api.oip.encoding import MIN_SIZE, choose_encoding, compress, decompress
from service.api.oip.http_codec import HEADER, MAX_VALUES, HttpRequest, decode, encode
from service.api.oip.messages import InferResponse
from service.api.oip.served_model import ServedModel, find_model
from service.api.problems import respond
from service.api.protocols import JSON
from service.inference.errors import NotReady
from service.inference.memory import Reservation
from service.inference.request import RequestContext
from service.state import AppState

VALUE_SIZE: Final = 32  # bytes of a number parsed from JSON
router = APIRouter(prefix="/v2", tags=["oip"])
Endpoint = Callable[[Request], Any]


def of_model(method: str, action: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
    """Register an endpoint for models and for their versions."""

    def register(endpoint: Endpoint) -> Endpoint:
        for address, parameters in documents.MODEL_ADDRESSES.items():
            extra = {**options.get("openapi_extra", {}), "parameters": parameters}
            router.add_api_route(address + action, endpoint, methods=[method], **{**options, "openapi_extra": extra})
        return endpoint

    return register


@router.get("/health/live")
async def live() -> Response:
    """Return 200 while the process runs."""
    return JSONResponse({"live": True})


@router.get("/health/ready")
async def ready(request: Request) -> Response:
    """Return 200 if requests can be answered, else 503 with what is missing."""
    if missing := _state(request).missing():
        return _not_ready(NotReady("; ".join(missing)), {})
    return JSONResponse({"ready": True})


@router.get("")
async def show_server() -> Response:
    """Return name, version and extensions of the server."""
    return JSONResponse(metadata.describe_server())


@router.get("/models/stats")
async def show_all_statistics(request: Request) -> Response:
    """Return the counters of all models since the start of the server."""
    return JSONResponse({"model_stats": statistics.describe_all(_state(request))})


@of_model("GET", "/stats")
async def show_statistics(request: Request) -> Response:
    """Return the counters of a model since the start of the server."""
    return JSONResponse({"model_stats": await statistics.describe(_state(request), _model(request))})


@of_model("GET", "")
async def show_metadata(request: Request) -> Response:
    """Return versions, inputs and outputs of a model."""
    return JSONResponse(await metadata.describe_model(_state(request), _model(request)))


@of_model("GET", "/config")
async def show_config(request: Request) -> Response:
    """Return the configuration of a model, with class names, letterbox and thresholds as JSON in its parameters."""
    return JSONResponse(await metadata.configure_model(_state(request), _model(request)))


@of_model("GET", "/ready")
async def show_ready(request: Request) -> Response:
    """Return 200 if a model is loaded and works, else 503 with the reason."""
    model = _model(request)
    try:
        await metadata.check_ready(_state(request), model)
    except NotReady as error:
        return _not_ready(error, {"name": model.name})
    return JSONResponse({"name": model.name, "ready": True})


@router.post("/repository/index", openapi_extra=documents.INDEX_BODY)
async def show_index(request: Request) -> Response:
    """List all versions of all models with their states. `{"ready": true}` lists those that are ready."""
    body = await _receive_small(request, documents.IndexRequest)
    return JSONResponse(metadata.list_index(_state(request), ready_only=body.ready))


@router.post("/repository/models/{name}/load", openapi_extra=documents.REPOSITORY_BODY)
async def load(request: Request, name: str) -> Response:
    """Load a model and answer once it is ready. The API key needs the scope `admin`."""
    parameters = (await _receive_small(request, documents.RepositoryRequest)).parameters
    await repository.load(_state(request), name, parameters, _context(request))
    return JSONResponse({})


@router.post("/repository/models/{name}/unload", openapi_extra=documents.REPOSITORY_BODY)
async def unload(request: Request, name: str) -> Response:
    """Unload a model and answer once no request uses it. The API key needs the scope `admin`."""
    await _receive_small(request, documents.RepositoryRequest)
    await repository.unload(_state(request), name, _context(request))
    return JSONResponse({})


@of_model("POST", "/infer", responses=documents.INFER_ANSWER, openapi_extra=documents.INFER_BODY)
async def run_inference(request: Request) -> Response:
    """Detect objects in image files (`image`), or on canvases that the client has letterboxed (`images`).

    Tensors are JSON, or binary after the JSON document. Boxes are in pixels of the file, or of the canvas.
    """
    state, model, context = _state(request), _model(request), _context(request)
    await infer.check(state, model, context)
    with state.memory.reserve(context.client) as memory:
        asked = await _receive(request, model, context, memory)
        response = await cancel_on_disconnect(request, infer.infer(state, asked.message, context))
    return await _answer(request, response, asked)


async def _receive(request: Request, model: ServedModel, context: RequestContext, memory: Reservation) -> HttpRequest:
    """Receive and decode a request. Its body is freed then, unless it has binary tensors."""
    body = await receive(request, context, memory)
    encoding, json_size = request.headers.get("content-encoding", ""), _json_size(request)
    body = await decompress(body, encoding, _state(request).settings.max_body, memory)
    memory.add(VALUE_SIZE * min(body.count(b",", 0, json_size), MAX_VALUES))
    return await offload(json_size or len(body), decode, body, json_size, model.name, model.version)


async def _answer(request: Request, response: InferResponse, asked: HttpRequest) -> Response:
    body, json_size = encode(response, asked)
    headers = {} if json_size is None else {HEADER: str(json_size)}
    encoding = choose_encoding(request.headers.get("accept-encoding", "")) if len(body) >= MIN_SIZE else None
    if encoding:
        body, headers["Content-Encoding"] = await compress(body, encoding), encoding
    return Response(body, headers=headers, media_type=JSON if json_size is None else documents.BINARY)


def _json_size(request: Request) -> int | None:
    """Return the size of the JSON document if binary tensors may follow it."""
    text = request.headers.get(HEADER)
    if text is not None and not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise BadRequest(f"{HEADER}: expected the size of the JSON document in bytes; got {text[:100]!r}")
    return None if text is None else int(text)


async def _receive_small(request: Request, kind: type[Model]) -> Model:
    """Return a small JSON body, which may be empty and of any Content-Type."""
    state, context = _state(request), _context(request)
    with state.memory.reserve(context.client) as memory:
        return parse_model(await receive(request, context, memory) or b"{}", kind)


def _not_ready(error: NotReady, members: dict[str, Any]) -> Response:
    """Return an error with the members of an answer about readiness."""
    return respond(error, {**members, "ready": False})


def _state(request: Request) -> AppState:
    state: AppState = request.state.service
    return state


def _model(request: Request) -> ServedModel:
    names = request.path_params
    return find_model(_state(request), names["name"], names.get("version", ""))


def _context(request: Request) -> RequestContext:
    return read_context(request, _state(request).settings.timeout)
