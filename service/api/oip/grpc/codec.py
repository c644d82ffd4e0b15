"""Inferences over gRPC: messages of Protocol Buffers from and to the requests and answers of all transports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from model_zoo.contract.typed_json import shorten
from service.api.errors import BadRequest
from service.api.oip import tensors
from service.api.oip.grpc.protobuf import message
from service.api.oip.messages import MAX_ID, InferRequest, InferResponse, InputTensor, Parameter, check_parameters

MAX_VALUES: Final = 2**22  # of one tensor in `contents`: they are decoded one by one
# The field of `contents` for each datatype.
CONTENTS: Final[Mapping[str, str]] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    tensors.BYTES: "bytes_contents",
}
ModelInferResponse: Final = message("ModelInferResponse")


def read_request(request: Any) -> InferRequest:
    """Return the request in a ModelInferRequest.

    Raises:
        BadRequest: a tensor is malformed, or a parameter is not supported.
    """
    if len(request.id) > MAX_ID:
        raise BadRequest(f"id: expected at most {MAX_ID:,} characters; got {len(request.id):,}")
    for part in (request, *request.inputs, *request.outputs):
        check_parameters(part.parameters)
    return InferRequest(
        model=request.model_name,
        inputs=_read_inputs(request),
        version=request.model_version,
        outputs=[output.name for output in request.outputs],
        id=request.id,
        parameters=_read_parameters(request.parameters),
    )


def write_response(response: InferResponse) -> Any:
    """Return a ModelInferResponse. All tensors are binary, which is all that clients read."""
    answer = ModelInferResponse(model_name=response.model, model_version=response.version, id=response.id)
    for output in response.outputs:
        answer.outputs.add(name=output.name, datatype=output.datatype, shape=output.data.shape)
        answer.raw_output_contents.append(bytes(tensors.to_bytes(output.data)))
    return answer


def _read_parameters(parameters: Mapping[str, Any]) -> dict[str, Parameter]:
    kinds = {name: parameter.WhichOneof("parameter_choice") for name, parameter in parameters.items()}
    return {name: getattr(parameters[name], kind) for name, kind in kinds.items() if kind}


def _read_inputs(request: Any) -> list[InputTensor]:
    raw, inputs = request.raw_input_contents, request.inputs
    if not raw:
        return [_read_typed(tensor) for tensor in inputs]
    if any(tensor.HasField("contents") for tensor in inputs):
        raise BadRequest("inputs: expected raw_input_contents for all or contents for all; got both")
    if len(raw) != len(inputs):
        raise BadRequest(f"raw_input_contents: expected one for each of {len(inputs):,} inputs; got {len(raw):,}")
    return [_read_raw(tensor, data) for tensor, data in zip(inputs, raw, strict=True)]


def _read_raw(tensor: Any, data: bytes) -> InputTensor:
    return tensors.from_bytes(tensor.name, tensor.datatype, tensors.check_shape(tensor.name, [*tensor.shape]), data)


def _read_typed(tensor: Any) -> InputTensor:
    """Decode a tensor in `contents`, whose field depends on the datatype."""
    name, datatype, shape = tensor.name, tensor.datatype, tensors.check_shape(tensor.name, [*tensor.shape])
    field = CONTENTS.get(datatype)
    if field is None:
        raise BadRequest(
            f"input {shorten(name)}: expected one of {', '.join(CONTENTS)} in contents; got {shorten(datatype)}"
        )
    values = getattr(tensor.contents, field)
    others = [other.name for other, _ in tensor.contents.ListFields() if other.name != field]
    if others or not values:
        got = " and ".join(others) or "none, and no raw_input_contents"
        raise BadRequest(f"input {shorten(name)}: expected {field} for {datatype}; got {got}")
    if len(values) > MAX_VALUES:
        expected = f"expected at most {MAX_VALUES:,} values in contents; send raw_input_contents"
        raise BadRequest(f"input {shorten(name)}: {expected}; got {len(values):,}")
    if datatype == tensors.BYTES:
        return tensors.from_elements(name, shape, [*values])
    return tensors.from_bytes(name, datatype, shape, _convert(name, datatype, values))


def _convert(name: str, datatype: str, values: Any) -> memoryview:
    """Return numbers as bytes of the datatype, which may be narrower than their field."""
    dtype = tensors.DTYPES[datatype]
    wide = np.fromiter(values, dtype if dtype.itemsize > 2 else np.int64, len(values))
    narrow = wide.astype(dtype, copy=False)
    if narrow is not wide and (narrow != wide).any():
        raise BadRequest(f"input {shorten(name)}: a number is out of the range of {datatype}")
    return tensors.to_bytes(narrow)
