"""Read JSON bodies within limits of size and time: small documents, or models that may hold images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema
from starlette.requests import Request

from model_zoo.contract import typed_json
from model_zoo.contract.expectation import expectation
from service.api.body import arrival, receive
from service.api.errors import BadRequest, BodyTooLarge, UnsupportedBody
from service.api.offload import offload
from service.api.protocols import JSON
from service.inference.memory import Reservation
from service.inference.request import RequestContext

MAX_BYTES: Final = 65_536
MAX_VALUES: Final = 10_000
_MAX_FAULTS: Final = 10
_REFERENCE: Final = "#/components/schemas/{model}"
_DOCUMENTED: Final[list[type[BaseModel]]] = []
_MARKS: Final = (b",", b"[", b"{")  # each begins a value
Model = TypeVar("Model", bound=BaseModel)


def documented_body(body: type[BaseModel] | dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI description of a JSON body, from a schema or a model. Names of models must be unique."""
    schema = body
    if not isinstance(body, dict):
        _DOCUMENTED.append(body)
        schema = {"$ref": _REFERENCE.format(model=body.__name__)}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def document_models() -> dict[str, Any]:
    """Return the schemas of the models of documented bodies, by name. To build them takes too long for a start."""
    schemas = models_json_schema([(model, "validation") for model in _DOCUMENTED], ref_template=_REFERENCE)[1]
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions


async def read_json(request: Request, deadline: float) -> object:
    """Return the parsed body. `deadline` is a time on the event loop's clock.

    Raises:
        BadRequest: the body is not JSON in UTF-8, or the client disconnected.
        BodyTooLarge: the body exceeds MAX_BYTES.
        BodyTooSlow: the body did not arrive before the deadline.
        UnsupportedBody: the content type is not JSON.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != JSON:
        raise UnsupportedBody(f"Content-Type: expected {JSON}; got {content_type[:100] or 'none'!r}")
    async with arrival(deadline, "send it again"):
        body = await _read(request)
    try:
        return typed_json.parse(body.decode())
    except ValueError as error:  # UnicodeDecodeError and LineageError
        raise BadRequest(f"the body: {error}") from error


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise BodyTooLarge(f"the body: expected at most {MAX_BYTES:,} bytes of JSON")
    return bytes(body)


async def receive_json(
    request: Request,
    kind: type[Model],
    context: RequestContext,
    memory: Reservation,
    max_values: int = MAX_VALUES,
) -> Model:
    """Return a body of up to `max_body` bytes as a model, whatever its Content-Type.

    Raises:
        BadRequest: the body is not JSON, has too many values, or does not fit the model.
        RequestError, MemoryFull: as `service.api.body.receive`.
    """
    body = await receive(request, context, memory)
    return await offload(len(body), parse_model, body, kind, max_values)


def parse_model(body: bytes, kind: type[Model], max_values: int = MAX_VALUES) -> Model:
    """Parse JSON as a model.

    Raises:
        BadRequest: the body is not JSON, has too many values, or does not fit the model.
    """
    if sum(map(body.count, _MARKS)) >= max_values:  # texts of images have none
        raise BadRequest(f"the body: expected at most {max_values:,} values in JSON; send several requests")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False)[:_MAX_FAULTS]
        raise BadRequest("; ".join(map(_describe, faults))) from None


def _describe(fault: Mapping[str, Any]) -> str:
    where = ".".join(map(str, fault["loc"])) or "the body"
    got = "" if fault["type"] in ("json_invalid", "missing") else f"; got {typed_json.shorten(fault['input'])}"
    return f"{where[:100]}: {expectation(fault['msg'])}{got}"
