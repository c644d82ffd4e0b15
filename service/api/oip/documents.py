"""The JSON bodies of the protocol over HTTP, and their descriptions for OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from service.api.json_body import documented_body
from service.api.oip.messages import MAX_ID

MAX_TENSORS: Final = 16
BINARY: Final = "application/octet-stream"
Parameters = dict[str, Any]


class Strict(BaseModel):
    """Base of bodies: types are not converted, and unknown members are ignored."""

    model_config = ConfigDict(strict=True)

    parameters: Parameters = {}
    """Parameters by name. Unknown ones are ignored."""


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


def _body(model: type[Strict], *, required: bool) -> dict[str, Any]:
    body = documented_body(model)["requestBody"]
    return {"requestBody": {**body, "required": required}}


_NAME: Final = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
_VERSION: Final = {**_NAME, "name": "version", "description": "Number of a version, or an alias."}

# Addresses of models and of their versions, with the parameters in them.
MODEL_ADDRESSES: Final = {"/models/{name}": [_NAME], "/models/{name}/versions/{version}": [_NAME, _VERSION]}
INDEX_BODY: Final = _body(IndexRequest, required=False)
REPOSITORY_BODY: Final = _body(RepositoryRequest, required=False)
INFER_BODY: Final = _body(InferDocument, required=True)
INFER_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Detections", "content": {BINARY: {"schema": {"type": "string", "format": "binary"}}}}
}
