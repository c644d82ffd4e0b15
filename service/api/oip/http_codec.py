"""Inferences over HTTP: a JSON document, and after it the binary tensors in the order of their descriptions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from model_zoo.contract.typed_json import shorten
from service.api.base64_text import decode_base64
from service.api.errors import BadRequest
from service.api.json_body import parse_model
from service.api.oip import tensors
from service.api.oip.documents import InferDocument, Input, Parameters
from service.api.oip.messages import InferRequest, InferResponse, InputTensor, OutputTensor, check_parameters

MAX_VALUES: Final = 2**21
# Most occurrences in a JSON document: parsed values take far more memory than their text.
LIMITS: Final = {b",": MAX_VALUES, b"[": 2**19, b"{": 10_000, b'"': 20_000}
HEADER: Final = "Inference-Header-Content-Length"
BINARY_SIZE: Final = "binary_data_size"


@dataclass(frozen=True, eq=False)
class HttpRequest:
    """A request, with the form of its answer."""

    message: InferRequest
    """The request."""
    has_id: bool
    """Whether the answer has an id."""
    binary: Mapping[str, bool]
    """Whether the outputs that are named are binary."""
    binary_default: bool
    """Whether all others are."""


def decode(body: bytes, json_size: int | None, model: str, version: str) -> HttpRequest:
    """Decode a request for a model. Binary tensors are views of `body`.

    `json_size` is the size of the JSON document if binary tensors may follow it.

    Raises:
        BadRequest: the document or a tensor is malformed.
    """
    if json_size is not None and json_size > len(body):
        raise BadRequest(f"{HEADER}: expected at most the size of the body, {len(body):,}; got {json_size:,}")
    document = _parse(body if json_size is None else body[:json_size])
    for part in (document, *document.inputs, *document.outputs):
        check_parameters(part.parameters)
    rest = memoryview(b"" if json_size is None else body)[json_size or 0 :]
    inputs = _decode_inputs(document.inputs, rest, has_header=json_size is not None)
    names = [output.name for output in document.outputs]
    message = InferRequest(model, inputs, version, names, document.id or "", document.parameters)
    default = _flag(document.parameters, "binary_data_output", default=False)
    binary = {o.name: _flag(o.parameters, "binary_data", default=default) for o in document.outputs}
    return HttpRequest(message, document.id is not None, binary, default)


def encode(response: InferResponse, request: HttpRequest) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the size of its JSON document if binary tensors follow it."""
    binary = [request.binary.get(output.name, request.binary_default) for output in response.outputs]
    document: dict[str, Any] = {"model_name": response.model, "model_version": response.version}
    document |= {"id": response.id} if request.has_id else {}
    document["outputs"] = [_describe(output, b) for output, b in zip(response.outputs, binary, strict=True)]
    text = json.dumps(document).encode()
    if not any(binary):
        return text, None
    data = [tensors.to_bytes(output.data) for output, b in zip(response.outputs, binary, strict=True) if b]
    return b"".join([text, *data]), len(text)


def _parse(text: bytes) -> InferDocument:
    if text.lstrip()[:1] != b"{" or text.rstrip()[-1:] != b"}":
        raise BadRequest(
            f"the body: expected a JSON object in its first {len(text):,} bytes. {HEADER} is the size of the object if "
            "binary tensors follow. An image file alone goes to POST /detect"
        )
    for mark, limit in LIMITS.items():
        if text.count(mark) > limit:
            raise BadRequest(f"the body: expected at most {limit:,} of {mark.decode()} in JSON; send binary tensors")
    return parse_model(text, InferDocument, max_values=sum(LIMITS.values()) + 1)


def _decode_inputs(inputs: Sequence[Input], rest: memoryview, *, has_header: bool) -> list[InputTensor]:
    decoded = []
    for tensor in inputs:
        shape, size = tensors.check_shape(tensor.name, tensor.shape), tensor.parameters.get(BINARY_SIZE)
        if size is None:
            decoded.append(_from_json(tensor, shape))
            continue
        _check_binary(tensor, size, len(rest), has_header=has_header)
        decoded.append(tensors.from_bytes(tensor.name, tensor.datatype, shape, rest[:size]))
        rest = rest[size:]
    if rest:
        raise BadRequest(f"the body: {len(rest):,} bytes follow the last tensor")
    return decoded


def _check_binary(tensor: Input, size: object, left: int, *, has_header: bool) -> None:
    where = f"input {shorten(tensor.name)}: {BINARY_SIZE}"
    if not has_header:
        raise BadRequest(f"{where} needs the header {HEADER} with the size of the JSON document")
    if type(size) is not int or not 0 <= size <= left:
        raise BadRequest(f"{where}: expected at most {left:,} bytes, which are left in the body; got {shorten(size)}")
    if tensor.data is not None:
        raise BadRequest(f"input {shorten(tensor.name)}: expected data or {BINARY_SIZE}; got both")


def _from_json(tensor: Input, shape: tuple[int, ...]) -> InputTensor:
    if tensor.data is None:
        raise BadRequest(f"input {shorten(tensor.name)}: expected data or the parameter {BINARY_SIZE}; got neither")
    if tensor.datatype != tensors.BYTES:
        return tensors.from_values(tensor.name, tensor.datatype, shape, tensor.data)
    texts = tensor.data if isinstance(tensor.data, list) else [tensor.data]
    return tensors.from_elements(tensor.name, shape, [_from_base64(tensor.name, text) for text in texts])


def _from_base64(name: str, text: object) -> bytes:
    """Decode an element of BYTES. JSON has no bytes, and an image is not text."""
    if not isinstance(text, str):
        raise BadRequest(f"input {shorten(name)}: expected base64 texts; got {shorten(text)}")
    return decode_base64(text, f"input {shorten(name)}")


def _flag(parameters: Parameters, name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f"parameter {name}: expected true or false; got {shorten(value)}")
    return value


def _describe(output: OutputTensor, binary: bool) -> dict[str, Any]:
    described = {"name": output.name, "datatype": output.datatype, "shape": [*output.data.shape]}
    if binary:
        return {**described, "parameters": {BINARY_SIZE: output.data.nbytes}}
    return {**described, "data": output.data.ravel().tolist()}
