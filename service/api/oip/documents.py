"""The JSON documents of the protocol over HTTP: models of bodies, and descriptions for OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.json_body import documented_body
from service.api.oip.messages import MAX_ID

MAX_TENSORS: Final = 16
JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
Parameters = dict[str, Any]
Responses = dict[int | str, dict[str, Any]]


class Strict(BaseModel):
    """Base of bodies: types are not converted, and unknown members are ignored."""

    model_config = ConfigDict(strict=True)


class Input(Strict):
    """An input of a request."""

    name: str
    """Name of the input."""
    datatype: str
    """Datatype, such as FP32 or BYTES."""
    shape: list[int]
    """Shape, with the number of images first."""
    parameters: Parameters = {}
    """`binary_data_size`: bytes of the tensor after the JSON document."""
    data: Any = None
    """Numbers in a flat list or nested by the shape, or base64 texts for BYTES."""


class Output(Strict):
    """An output that is asked for."""

    name: str
    """Name of the output."""
    parameters: Parameters = {}
    """`binary_data`: whether the tensor follows the JSON document."""


class InferDocument(Strict):
    """The JSON document of an inference."""

    id: Annotated[str, Field(max_length=MAX_ID)] | None = None
    """Id that the answer repeats."""
    inputs: Annotated[list[Input], Field(max_length=MAX_TENSORS)]
    """Inputs."""
    outputs: Annotated[list[Output], Field(max_length=MAX_TENSORS)] = []
    """Outputs to answer. Default: all."""
    parameters: Parameters = {}
    """`timeout` in microseconds, `priority`, `binary_data_output`."""


class IndexRequest(Strict):
    """A request for the index."""

    ready: bool = False
    """Whether to list only what is ready."""


class RepositoryRequest(Strict):
    """A load or an unload."""

    parameters: Parameters = {}
    """Ignored, but configurations and files of models are refused."""


class OutputDocument(BaseModel):
    """An output of an answer."""

    name: str
    """Name of the output."""
    datatype: str
    """Datatype, such as FP32."""
    shape: list[int]
    """Shape, with the number of images first."""
    data: list[float] = []
    """Numbers in row-major order, unless the tensor is binary."""
    parameters: Parameters = {}
    """`binary_data_size`: bytes of the tensor after the JSON document."""


class InferAnswer(BaseModel):
    """The JSON document of an answer."""

    model_name: str
    """Name of the model."""
    model_version: str
    """Number of the version that answered."""
    id: str = ""
    """Id of the request, if it had one."""
    outputs: list[OutputDocument]
    """Outputs in the order of the request."""


class IndexRow(BaseModel):
    """A version in the index."""

    name: str
    """Name of the model, or of a view of it."""
    version: str
    """Number of the version."""
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    """Whether it can answer."""
    reason: str
    """Why it cannot, or empty."""


def _object(**example: object) -> Responses:
    """Describe an answer by an example."""
    properties = {name: {"type": _TYPES[type(value)]} for name, value in example.items()}
    schema = {"type": "object", "required": list(example), "properties": properties}
    return {200: {"description": "OK", "content": {JSON: {"schema": schema, "example": example}}}}


def _or_not_ready(responses: Responses) -> Responses:
    """Add an answer 503, which has the same members and an error."""
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, responses[200]["content"][JSON]["schema"]]}
    return {**responses, 503: {"description": "Not ready", "content": {JSON: {"schema": schema}}}}


def _body(model: type[BaseModel], *, required: bool, **other: Any) -> dict[str, Any]:
    """Describe a body by its model. `other` are further members of its content."""
    content = documented_body(model.model_json_schema())["requestBody"]["content"]
    return {"requestBody": {"required": required, "content": {JSON: {**content[JSON], **other}}}}


_TYPES: Final = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
_TENSOR: Final = {"name": "image", "datatype": "BYTES", "shape": [-1]}
_TOTAL: Final = {"count": 12, "ns": 480_000_000}
_COMPUTE: Final = dict.fromkeys(("compute_input", "compute_infer", "compute_output"), _TOTAL)
_STATISTICS: Final = {
    "name": "ui-elements",
    "version": "1",
    "last_inference": 1_764_000_000_000,
    "inference_count": 12,
    "execution_count": 12,
    "inference_stats": {**dict.fromkeys(("success", "fail", "queue"), _TOTAL), **_COMPUTE},
    "batch_stats": [{"batch_size": 1, **_COMPUTE}],
}
_NAME: Final = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
_VERSION: Final = {**_NAME, "name": "version", "description": "Number of a version, or an alias."}
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}

# Addresses of models and of their versions, with the parameters in them.
MODEL_ADDRESSES: Final = {"/models/{name}": [_NAME], "/models/{name}/versions/{version}": [_NAME, _VERSION]}
LIVE: Final = _object(live=True)
READY: Final = _or_not_ready(_object(ready=True))
MODEL_READY: Final = _or_not_ready(_object(name="ui-elements", ready=True))
SERVER: Final = _object(name="yolo-lineage", version="0.1.0", extensions=["binary_tensor_data"])
METADATA: Final = _object(
    name="ui-elements",
    versions=["1"],
    platform="yolo-lineage",
    inputs=[_TENSOR],
    outputs=[{"name": "detections", "datatype": "FP32", "shape": [-1, -1, 6]}],
)
CONFIG: Final = _object(
    name="ui-elements",
    platform="yolo-lineage",
    backend="yolo-lineage",
    max_batch_size=0,
    input=[{"name": "image", "data_type": "TYPE_STRING", "dims": [-1], "optional": True}],
    output=[{"name": "detections", "data_type": "TYPE_FP32", "dims": [-1, -1, 6]}],
    parameters={"class_names": {"string_value": '["person", "bicycle"]'}},
)
STATISTICS: Final = _object(model_stats=[_STATISTICS])
INDEX: Final[Responses] = {200: {"model": list[IndexRow]}}
EMPTY: Final[Responses] = {200: {"description": "Done", "content": {JSON: {"schema": {"type": "object"}}}}}
ANSWER: Final[Responses] = {200: {"model": InferAnswer, "content": {BINARY: _BINARY}}}
INDEX_BODY: Final = _body(IndexRequest, required=False)
REPOSITORY_BODY: Final = _body(RepositoryRequest, required=False)
INFER_BODY: Final = _body(
    InferDocument,
    required=True,
    example={"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["base64 of an image file"]}]},
)
